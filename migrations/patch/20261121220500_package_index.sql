-- What new sets add to the index is sorted in before it gets too much; the more at once, the cheaper.
ALTER INDEX patch.package_sets_packages SET (gin_pending_list_limit = 16384);
