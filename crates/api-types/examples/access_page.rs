//! Prints `docs/access.md`.

fn main() {
    print!("{}", api_types::rights::page());
}
