//! What is worth reading of a failed program's output: hundreds of lines about what went well would hide what did not.

/// Cargo sets the word that says what it is doing right-justified into this many columns.
const STATUS_WIDTH: usize = 12;
/// The lines that name the running test program stay out: the names of failed tests do not say which program.
const AT_WORK: [&str; 10] = [
    "Blocking",
    "Building",
    "Checking",
    "Compiling",
    "Downloaded",
    "Downloading",
    "Finished",
    "Fresh",
    "Locking",
    "Updating",
];

pub fn failure_output(output: &str) -> String {
    let kept = output.lines().filter(|line| !line.is_empty() && !is_pass(line) && !is_cargo_at_work(line));
    kept.collect::<Vec<_>>().join("\n")
}

fn is_pass(line: &str) -> bool {
    line.starts_with("test ") && line.ends_with("... ok")
}

fn is_cargo_at_work(line: &str) -> bool {
    line.split_at_checked(STATUS_WIDTH)
        .is_some_and(|(status, rest)| AT_WORK.contains(&status.trim_start()) && rest.starts_with(' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_shown_without_the_passes() {
        assert_eq!(
            failure_output("test a ... ok\ntest b ... FAILED\n\nfailures:\n"),
            "test b ... FAILED\nfailures:"
        );
    }

    #[test]
    fn errors_are_shown_without_the_crates_that_compiled() {
        let output = "   Compiling domain v0.1.0 (/d)\n    Checking clap v4.6.7\n Downloading crates ...\n\
                      error[E0308]: mismatched types\n  --> src/lib.rs:1:1\n     Running unittests src/lib.rs\n\
                      Checking is what this test prints";
        assert_eq!(
            failure_output(output),
            "error[E0308]: mismatched types\n  --> src/lib.rs:1:1\n     Running unittests src/lib.rs\n\
             Checking is what this test prints"
        );
    }
}
