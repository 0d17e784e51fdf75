//! Inside a crate: which module may refer to which, where SQL may be, and what a pure crate may name.

use super::source::{Source, Target};
use super::{PURE, service_of};

/// A line of a file, and what is wrong with it.
pub struct Violation {
    pub file: usize,
    pub line: usize,
    pub text: String,
}

const INPUT_OUTPUT: [&str; 5] = ["tokio", "axum", "sqlx", "reqwest", "hyper"];
const CLOCKS: [&str; 4] = ["Utc", "Local", "SystemTime", "Instant"];
const CHANCE: [&str; 3] = ["rand", "fastrand", "getrandom"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layer {
    Api,
    App,
    Engine,
    Store,
    Other,
}

impl Layer {
    fn of(module: &[String]) -> Self {
        match module.first().map(String::as_str) {
            Some("api") => Self::Api,
            Some("app") => Self::App,
            Some("engine") => Self::Engine,
            Some("store") => Self::Store,
            _ => Self::Other,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::App => "app",
            Self::Engine => "engine",
            Self::Store => "store",
            Self::Other => "the crate",
        }
    }

    /// Why code here must not refer to `other`.
    fn refusal(self, other: Self, is_function: bool) -> Option<&'static str> {
        match (self, other) {
            (Self::Store, Self::Api | Self::App | Self::Engine) | (Self::App | Self::Engine, Self::Api) => {
                Some("layers point one way only: api, app, store")
            }
            (Self::Api, Self::Store) if is_function => Some("a handler calls app; only app calls store"),
            _ => None,
        }
    }
}

pub fn violations(name: &str, source: &Source) -> Vec<Violation> {
    let mut found = Vec::new();
    let (is_pure, is_service) = (PURE.contains(&name), service_of(name).is_some());
    if !is_pure && !is_service {
        return found;
    }
    for reference in &source.references {
        let module = &source.modules[reference.module];
        let layer = Layer::of(&module.path);
        let written = reference.segments.join("::");
        let reason = match source.resolve(reference.module, &reference.segments) {
            Target::Own { module, item } if is_service => {
                let target = &source.modules[module];
                let is_function = item.is_some_and(|item| target.functions.contains(&item));
                let other = Layer::of(&target.path);
                layer
                    .refusal(other, is_function)
                    .map(|why| format!("{} refers to {}: {why}", layer.name(), other.name()))
            }
            Target::External(path) if is_service && layer != Layer::Store && is_sql(&path) => {
                Some("SQL belongs in src/store only".to_owned())
            }
            Target::External(path) if is_pure && is_impure(&path) => Some(
                "a pure crate gets time and randomness as arguments and does no input or output".to_owned(),
            ),
            _ => None,
        };
        if let Some(reason) = reason {
            let text = format!("`{written}`: {reason}");
            found.push(Violation { file: module.file, line: reference.line, text });
        }
    }
    found.sort_by(|a, b| (a.file, a.line, &a.text).cmp(&(b.file, b.line, &b.text)));
    found.dedup_by(|a, b| (a.file, a.line) == (b.file, b.line));
    found
}

/// `sqlx::query!`, `sqlx::query_as`, `sqlx::QueryBuilder`, `sqlx::raw_sql` and their kind.
fn is_sql(path: &[String]) -> bool {
    let Some((first, rest)) = path.split_first() else { return false };
    first == "sqlx"
        && rest.iter().any(|part| part.starts_with("query") || part == "QueryBuilder" || part == "raw_sql")
}

fn is_impure(path: &[String]) -> bool {
    let parts: Vec<&str> = path.iter().map(String::as_str).collect();
    let Some(first) = parts.first() else { return false };
    let ends_with = |owner: &[&str], name: &[&str]| matches!(parts.as_slice(), [.., a, b] if owner.contains(a) && name.contains(b));
    INPUT_OUTPUT.contains(first)
        || CHANCE.contains(first)
        || ends_with(&CLOCKS, &["now"])
        || ends_with(&["Uuid"], &["now_v7", "new_v4"])
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// The lines that are refused in `place`, among files that each layer has.
    fn refused(name: &str, place: &str, text: &str) -> Vec<usize> {
        let rest = [
            ("lib.rs", "mod api; mod app; mod engine; mod service; mod store;"),
            ("service.rs", "pub use crate::app::rules::Rules;"),
            ("api/mod.rs", "pub mod cis; pub mod shared;"),
            ("api/shared.rs", "pub fn body() {} pub struct Body;"),
            ("app/mod.rs", "pub mod cis; pub mod rules; pub use crate::store::cis as rows;"),
            ("app/rules.rs", "pub fn check() {} pub struct Rules;"),
            ("store/mod.rs", "pub mod cis; pub mod filter; pub use filter::Filter;"),
            ("store/filter.rs", "pub struct Filter; pub fn list() {}"),
        ];
        let mut files: Vec<(PathBuf, String)> =
            rest.iter().map(|(place, text)| (PathBuf::from(place), (*text).to_owned())).collect();
        files.push((PathBuf::from(place), text.to_owned()));
        let source = Source::parse(&files).unwrap();
        let own = files.len() - 1;
        let found = violations(name, &source).into_iter().filter(|violation| violation.file == own);
        found.map(|violation| violation.line).collect()
    }

    fn in_store(text: &str) -> Vec<usize> {
        refused("itsm", "store/cis.rs", text)
    }

    #[test]
    fn plain_import_against_the_order_is_refused() {
        assert_eq!(in_store("use crate::app::rules;"), [1]);
        assert_eq!(in_store("use crate::api::shared::Body;"), [1]);
        assert_eq!(refused("itsm", "app/cis.rs", "use crate::api::shared::Body;"), [1]);
        assert_eq!(refused("itsm", "engine/mod.rs", "use crate::api::shared::Body;"), [1]);
    }

    #[test]
    fn import_along_the_order_passes() {
        assert!(refused("itsm", "api/cis.rs", "use crate::app::rules; fn f() { rules::check() }").is_empty());
        assert!(
            refused("itsm", "app/cis.rs", "use crate::store::filter; fn f() { filter::list() }").is_empty()
        );
        assert!(in_store("use super::filter::Filter; use crate::store::filter::list;").is_empty());
    }

    #[test]
    fn nested_import_is_refused_at_its_own_line() {
        assert_eq!(
            in_store("use crate::{\n    store::filter,\n    app::{\n        rules::{Rules},\n    },\n};"),
            [4]
        );
        assert_eq!(in_store("use crate::{app::{self, rules}, store};"), [1]);
    }

    #[test]
    fn import_by_super_is_refused() {
        assert_eq!(in_store("use super::super::app::rules;"), [1]);
        assert_eq!(in_store("use super::{super::app::rules, filter};"), [1]);
        assert_eq!(in_store("mod inner {\n    use super::super::super::app::rules;\n}"), [2]);
        assert!(in_store("use self::super::filter::Filter;").is_empty());
    }

    #[test]
    fn glob_import_is_refused() {
        assert_eq!(in_store("use crate::app::*;"), [1]);
        assert_eq!(in_store("use crate::*;\nfn f() { app::rules::check() }"), [2]);
    }

    #[test]
    fn modules_that_import_all_of_each_other_are_searched_once() {
        let others = "mod a { pub use super::b::*; pub use super::c::*; } mod b { pub use super::a::*; pub use super::c::*; }\n\
                      mod c { pub use super::a::*; pub use super::b::*; pub use crate::app::*; }\n\
                      use a::nothing; use a::rules;";
        assert_eq!(in_store(others), [2, 3]);
    }

    #[test]
    fn renamed_import_is_refused_and_followed() {
        assert_eq!(in_store("use crate::app::rules as order;"), [1]);
        assert_eq!(in_store("use crate as root;\nfn f() { root::app::rules::check() }"), [2]);
        assert_eq!(in_store("use super::super as root;\nuse root::app;"), [2]);
    }

    #[test]
    fn qualified_path_in_an_expression_a_type_or_a_pattern_is_refused() {
        assert_eq!(in_store("fn f() { crate::app::rules::check() }"), [1]);
        assert_eq!(in_store("struct A { rules: Vec<crate::app::rules::Rules> }"), [1]);
        assert_eq!(in_store("fn f(r: u8) {\n match r { crate::app::rules::MOST => {}, _ => {} } }"), [2]);
        assert_eq!(in_store("impl crate::api::shared::Body {}"), [1]);
    }

    #[test]
    fn path_inside_a_macro_or_an_attribute_is_refused() {
        assert_eq!(in_store("fn f() { tracing::info!(\"{}\", crate::app::rules::check()) }"), [1]);
        assert_eq!(in_store("fn f() {\n    assert!({ super::super::app::rules::check(); true }) }"), [2]);
        assert_eq!(in_store("macro_rules! rule { () => { $crate::app::rules::check() } }"), [1]);
        assert_eq!(in_store("#[derive(crate::api::shared::Body)]\nstruct A;"), [1]);
    }

    #[test]
    fn import_in_a_function_body_is_refused() {
        assert_eq!(in_store("fn f() {\n    use crate::app::rules;\n}"), [2]);
    }

    #[test]
    fn re_export_is_followed_to_where_the_item_is_defined() {
        assert_eq!(in_store("use crate::service::Rules;"), [1]);
        assert_eq!(in_store("pub(crate) use crate::app::rules::Rules;"), [1]);
        // What app re-exports of the store is the store's.
        assert!(in_store("use crate::app::rows;").is_empty());
    }

    #[test]
    fn visibility_is_no_reference() {
        assert!(in_store("pub(in crate::app) fn f() {}").is_empty());
        assert!(in_store("wrap! { pub(in crate::app) struct A; }").is_empty());
    }

    #[test]
    fn names_of_other_crates_are_not_taken_for_layers() {
        assert!(in_store("use ::app::rules; use other::api::Body;").is_empty());
    }

    #[test]
    fn tests_may_refer_to_everything() {
        assert!(in_store("#[cfg(test)]\nmod tests { use crate::app::rules; }").is_empty());
        assert!(in_store("#[cfg(all(test, unix))]\nuse crate::app::rules;").is_empty());
        assert_eq!(in_store("#[cfg(not(test))]\nuse crate::app::rules;"), [2]);
        assert!(refused("itsm", "store/cis/tests.rs", "use crate::app::rules;").is_empty());
    }

    #[test]
    fn handler_may_name_a_type_of_the_store_and_call_none_of_its_functions() {
        assert!(refused("cmdb", "api/cis.rs", "use crate::store::Filter;").is_empty());
        assert_eq!(
            refused("cmdb", "api/cis.rs", "use crate::store::filter;\nfn f() { filter::list() }"),
            [2]
        );
        assert_eq!(refused("cmdb", "api/cis.rs", "use crate::{store::filter::list as all};"), [1]);
    }

    #[test]
    fn sql_is_refused_outside_of_the_store() {
        for sql in [
            "fn f() { sqlx::query!(\"SELECT 1\"); }",
            "use sqlx::query_as; fn f() { query_as::<_, A>(\"SELECT 1\"); }",
            "use sqlx::{QueryBuilder, Postgres};",
            "use sqlx as db; fn f() { db::query_scalar(\"SELECT 1\"); }",
            "fn f() { tokio::join!(sqlx::query(\"SELECT 1\").execute(c)); }",
            "use sqlx::*; fn f() { sqlx::raw_sql(\"SELECT 1\"); }",
        ] {
            assert_eq!(refused("cmdb", "app/cis.rs", sql), [1], "{sql}");
            assert!(refused("cmdb", "store/cis.rs", sql).is_empty(), "{sql}");
            assert!(refused("leases", "table.rs", sql).is_empty(), "{sql}");
        }
        assert!(refused("cmdb", "service.rs", "fn f() { sqlx::migrate!(\"../x\"); }").is_empty());
    }

    #[test]
    fn pure_crates_read_no_clock_and_do_no_input_or_output() {
        for code in [
            "fn f() { chrono::Utc::now(); }",
            "use chrono::Utc as Clock; fn f() { Clock::now(); }",
            "use std::time::{Instant}; fn f() { let start = Instant::now; }",
            "use std::time::*; fn f() { SystemTime::now(); }",
            "use uuid::Uuid; fn f() { vec![Uuid::new_v4()]; }",
            "use rand::Rng;",
            "fn f() { tokio::spawn(g()); }",
        ] {
            assert_eq!(refused("domain", "run.rs", code), [1], "{code}");
            assert!(refused("service-kit", "run.rs", code).is_empty(), "{code}");
        }
        assert!(refused("domain", "run.rs", "// Utc::now()\nfn f(now: Instant) {}").is_empty());
    }
}
