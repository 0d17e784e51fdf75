//! Prints `docs/problems.md`.

fn main() {
    print!("{}", api_types::problem_types::page());
}
