//! Collects the names a file defines and every path it refers to, in whichever form it is written.

use std::ops::RangeInclusive;

use proc_macro2::{Spacing, Span, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, File, ImplItemFn, Item, ItemMod, ItemUse, Macro, UseTree, Visibility};

use super::source::{Module, Source};

/// A path, as written.
#[derive(Debug)]
pub struct Reference {
    pub module: usize,
    pub segments: Vec<String>,
    pub line: usize,
}

pub fn collect(source: &mut Source, module: usize, file: &File) {
    let mut collector = Collector { source, module };
    collector.visit_file(file);
}

struct Collector<'a> {
    source: &'a mut Source,
    module: usize,
}

impl Collector<'_> {
    fn here(&mut self) -> &mut Module {
        &mut self.source.modules[self.module]
    }

    fn refer(&mut self, segments: Vec<String>, span: Span) {
        let line = span.start().line;
        self.source.references.push(Reference { module: self.module, segments, line });
    }

    /// Whether the item belongs to tests; its lines are then noted and nothing in it is read.
    fn is_test(&mut self, attributes: &[Attribute], lines: RangeInclusive<usize>) -> bool {
        let found = attributes.iter().any(is_test_attribute);
        if found {
            let file = self.here().file;
            self.source.files[file].test_lines.push(lines);
        }
        found
    }

    fn import(&mut self, tree: &UseTree, above: &[String], is_absolute: bool) {
        let with = |name: &syn::Ident| {
            let mut path = above.to_vec();
            path.push(plain(name));
            path
        };
        match tree {
            UseTree::Path(path) => self.import(&path.tree, &with(&path.ident), is_absolute),
            UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.import(tree, above, is_absolute));
            }
            UseTree::Name(name) => {
                let path = if name.ident == "self" { above.to_vec() } else { with(&name.ident) };
                let known_as = path.last().cloned().unwrap_or_default();
                self.import_as(known_as, path, name.ident.span(), is_absolute);
            }
            UseTree::Rename(rename) => {
                let path = if rename.ident == "self" { above.to_vec() } else { with(&rename.ident) };
                self.import_as(plain(&rename.rename), path, rename.ident.span(), is_absolute);
            }
            UseTree::Glob(glob) => {
                if !is_absolute {
                    self.refer(above.to_vec(), glob.star_token.spans[0]);
                }
                self.here().globs.push(above.to_vec());
            }
        }
    }

    fn import_as(&mut self, name: String, path: Vec<String>, span: Span, is_absolute: bool) {
        // `use sqlx;` would lead to itself.
        if path.len() > 1 || path.first() != Some(&name) {
            if !is_absolute {
                self.refer(path.clone(), span);
            }
            self.here().imports.insert(name, path);
        }
    }

    /// Paths among tokens that only a macro understands.
    fn scan(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut start = Span::call_site();
        let (mut colons, mut is_visibility) = (0, false);
        for token in tokens {
            match token {
                TokenTree::Ident(name) => {
                    if colons != 2 {
                        self.end_path(&mut path, start);
                        start = name.span();
                    }
                    if colons != 2 || !path.is_empty() {
                        path.push(plain(&name));
                    }
                    is_visibility = name == "pub";
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => {
                    colons += 1;
                    if colons == 1 && punct.spacing() == Spacing::Alone || colons > 2 {
                        self.end_path(&mut path, start);
                        colons = 0;
                    }
                }
                other => {
                    self.end_path(&mut path, start);
                    colons = 0;
                    if let TokenTree::Group(group) = other
                        && !std::mem::take(&mut is_visibility)
                    {
                        self.scan(group.stream());
                    }
                }
            }
        }
        self.end_path(&mut path, start);
    }

    fn end_path(&mut self, path: &mut Vec<String>, start: Span) {
        let segments = std::mem::take(path);
        // A single name does not lead into another module; the check reads the import that brought it.
        if segments.len() > 1 {
            self.refer(segments, start);
        }
    }
}

impl<'ast> Visit<'ast> for Collector<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let (attributes, name): (&[Attribute], _) = match item {
            Item::Const(item) => (&item.attrs, Some(&item.ident)),
            Item::Enum(item) => (&item.attrs, Some(&item.ident)),
            Item::Fn(item) => (&item.attrs, Some(&item.sig.ident)),
            Item::Impl(item) => (&item.attrs, None),
            Item::Macro(item) => (&item.attrs, item.ident.as_ref()),
            Item::Mod(item) => (&item.attrs, None),
            Item::Static(item) => (&item.attrs, Some(&item.ident)),
            Item::Struct(item) => (&item.attrs, Some(&item.ident)),
            Item::Trait(item) => (&item.attrs, Some(&item.ident)),
            Item::Type(item) => (&item.attrs, Some(&item.ident)),
            Item::Use(item) => (&item.attrs, None),
            _ => (&[], None),
        };
        if self.is_test(attributes, lines_of(item, attributes)) {
            if let Item::Mod(module) = item {
                let name = plain(&module.ident);
                self.here().test_modules.insert(name);
            }
            return;
        }
        if let Some(name) = name.map(plain) {
            if matches!(item, Item::Fn(_)) {
                self.here().functions.insert(name.clone());
            }
            self.here().items.insert(name);
        }
        visit::visit_item(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        let (start, end) = (item.sig.fn_token.span, item.block.brace_token.span.close());
        if !self.is_test(&item.attrs, start.start().line..=end.end().line) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        let Some((_, items)) = &item.content else { return };
        let name = plain(&item.ident);
        let mut path = self.here().path.clone();
        path.push(name.clone());
        let module = Module { path, file: self.here().file, parent: Some(self.module), ..Module::default() };
        self.source.modules.push(module);
        let inner = self.source.modules.len() - 1;
        self.here().children.insert(name, inner);
        let outer = std::mem::replace(&mut self.module, inner);
        items.iter().for_each(|item| self.visit_item(item));
        self.module = outer;
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.import(&item.tree, &[], item.leading_colon.is_some());
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none()
            && let Some(first) = path.segments.first()
        {
            let segments = path.segments.iter().map(|segment| plain(&segment.ident)).collect();
            self.refer(segments, first.ident.span());
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, invoked: &'ast Macro) {
        self.visit_path(&invoked.path);
        self.scan(invoked.tokens.clone());
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let syn::Meta::List(list) = &attribute.meta {
            self.scan(list.tokens.clone());
        }
    }

    /// `pub(in crate::app)` names the readers, not what is read.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}
}

fn plain(name: &syn::Ident) -> String {
    let text = name.to_string();
    text.strip_prefix("r#").map(str::to_owned).unwrap_or(text)
}

/// `#[test]`, `#[tokio::test]`, `#[cfg(test)]`, `#[cfg(all(test, ...))]`.
fn is_test_attribute(attribute: &Attribute) -> bool {
    let path = attribute.path();
    if path.segments.last().is_some_and(|last| last.ident == "test") {
        return true;
    }
    let syn::Meta::List(list) = &attribute.meta else { return false };
    path.is_ident("cfg") && needs_test(list.tokens.clone())
}

fn needs_test(condition: TokenStream) -> bool {
    let tokens: Vec<TokenTree> = condition.into_iter().collect();
    match tokens.as_slice() {
        [TokenTree::Ident(name)] => name == "test",
        [TokenTree::Ident(name), TokenTree::Group(group)] if name == "all" => {
            let parts: Vec<TokenTree> = group.stream().into_iter().collect();
            parts
                .split(|token| matches!(token, TokenTree::Punct(comma) if comma.as_char() == ','))
                .any(|part| needs_test(part.iter().cloned().collect()))
        }
        _ => false,
    }
}

/// From its first attribute to its last token. Printing an item back into tokens would say the same for every kind, but
/// doubles the part of `syn` that is compiled; a kind that is not named here counts as one line.
fn lines_of(item: &Item, attributes: &[Attribute]) -> RangeInclusive<usize> {
    let Some(first) = attributes.first().map(|attribute| attribute.pound_token.spans[0].start().line) else {
        return 0..=0;
    };
    let last = match item {
        Item::Mod(item) => match &item.content {
            Some((brace, _)) => brace.span.close(),
            None => item.ident.span(),
        },
        Item::Fn(item) => item.block.brace_token.span.close(),
        Item::Impl(item) => item.brace_token.span.close(),
        Item::Enum(item) => item.brace_token.span.close(),
        Item::Trait(item) => item.brace_token.span.close(),
        Item::Struct(item) => match &item.fields {
            syn::Fields::Named(fields) => fields.brace_token.span.close(),
            _ => item.ident.span(),
        },
        Item::Const(item) => item.semi_token.span,
        Item::Static(item) => item.semi_token.span,
        Item::Use(item) => item.semi_token.span,
        Item::Type(item) => item.semi_token.span,
        _ => return first..=first,
    };
    first..=last.end().line
}
