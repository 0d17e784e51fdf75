//! Answers questions of the plugins that the platform's own rules decide, over a socket in the private folder of a run: one
//! question and one answer, each a line of JSON, per connection.

use std::{
    collections::BTreeSet,
    fs::File,
    io,
    os::{fd::AsRawFd, unix::net::UnixListener as StdListener},
    path::Path,
    time::Duration,
};

use advisories::{
    Packaging,
    reboot::{AfterBoot, RebootFacts, RebootVerdict, judge},
};
use domain::{
    baseline::PackageGlob,
    restart::{RestartServices, Restarts, StaleServices},
    transaction,
};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    time::{sleep, timeout},
};

/// Far more than the kernels of a host.
const LARGEST_QUESTION_BYTES: u64 = 1024 * 1024;
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", tag = "question", deny_unknown_fields)]
enum Question {
    /// Whether a host needs a reboot, or what a reboot achieved.
    Reboot { packaging: Packaging, facts: Box<RebootFacts> },
    /// Which stale services the policy lets the host restart.
    Restarts { stale: StaleServices, rule: RestartServices, listed: BTreeSet<String> },
    /// What to ask the package manager of a host next, or which of its updates are planned.
    Transaction {
        groups: Vec<BTreeSet<String>>,
        allow_removals: bool,
        #[serde(default)]
        denied: Vec<PackageGlob>,
        answers: Vec<transaction::Answer>,
    },
}

#[derive(Serialize)]
#[serde(untagged)]
enum Answer {
    Reboot {
        #[serde(flatten)]
        verdict: RebootVerdict,
        after_boot: AfterBoot,
        text: String,
    },
    Restarts(Restarts),
    Transaction(transaction::Next),
    Refused {
        error: String,
    },
}

/// Opens the socket. A socket's address has at most 107 bytes, so that the folder is named by its descriptor.
pub(crate) fn listen(socket: &Path) -> io::Result<UnixListener> {
    let (Some(folder), Some(name)) = (socket.parent(), socket.file_name()) else {
        return Err(io::Error::other("the socket has no folder"));
    };
    let folder = File::open(folder)?;
    let address = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
    let listener = StdListener::bind(address)?;
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

/// Answers until it is aborted.
pub(crate) async fn answer_questions(listener: UnixListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(async move {
                    if let Ok(Err(error)) = timeout(ANSWER_WITHIN, answer_one(stream)).await {
                        tracing::debug!(%error, "a plugin did not wait for its answer");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a question of a plugin");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn answer_one(mut stream: UnixStream) -> io::Result<()> {
    let mut question = Vec::new();
    let (reader, mut writer) = stream.split();
    BufReader::new(reader.take(LARGEST_QUESTION_BYTES)).read_until(b'\n', &mut question).await?;
    let mut answer = serde_json::to_vec(&answer_to(&question))?;
    answer.push(b'\n');
    writer.write_all(&answer).await
}

fn answer_to(question: &[u8]) -> Answer {
    match serde_json::from_slice(question) {
        Ok(Question::Reboot { packaging, facts }) => {
            let verdict = judge(packaging, &facts);
            Answer::Reboot { after_boot: verdict.after_boot(), text: verdict.to_string(), verdict }
        }
        Ok(Question::Restarts { stale, rule, listed }) => Answer::Restarts(stale.restarts(rule, &listed)),
        Ok(Question::Transaction { groups, allow_removals, denied, answers }) => {
            Answer::Transaction(transaction::next(&groups, allow_removals, &denied, &answers))
        }
        Err(error) => Answer::Refused { error: error.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader, Write},
        os::unix::net::UnixStream,
    };

    use serde_json::{Value, json};

    use super::*;

    async fn ask(question: &str) -> Value {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("x".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        let listener = tokio::spawn(answer_questions(listen(&deep.join("judge")).unwrap()));
        let question = format!("{question}\n");
        let answer = tokio::task::spawn_blocking(move || {
            let opened = File::open(deep).unwrap();
            let mut stream =
                UnixStream::connect(format!("/proc/self/fd/{}/judge", opened.as_raw_fd())).unwrap();
            stream.write_all(question.as_bytes()).unwrap();
            let mut answer = String::new();
            BufReader::new(stream).read_line(&mut answer).unwrap();
            answer
        });
        let answer = serde_json::from_str(&answer.await.unwrap()).unwrap();
        listener.abort();
        answer
    }

    #[tokio::test]
    async fn question_of_a_plugin_is_answered_by_the_rule() {
        let facts = json!({
            "running_kernel": "5.14.0-427.el9.x86_64+rt",
            "kernels": [
                { "name": "kernel-rt-core", "version": "5.14.0-427.el9" },
                { "name": "kernel-rt-core", "version": "5.14.0-427.13.1.el9_4" },
            ],
        });
        let answer =
            ask(&json!({ "question": "reboot", "packaging": "rpm", "facts": facts }).to_string()).await;
        assert_eq!((&answer["state"], &answer["after_boot"]), (&json!("needed"), &json!("old_kernel")));
        assert_eq!(answer["causes"][0]["newest"], "kernel-rt-core 5.14.0-427.13.1.el9_4");
        assert!(answer["text"].as_str().unwrap().contains("5.14.0-427.el9.x86_64+rt runs"));
    }

    #[tokio::test]
    async fn question_that_cannot_be_read_is_refused_with_the_reason() {
        let answer = ask(r#"{"question": "weather"}"#).await;
        assert!(answer["error"].as_str().unwrap().contains("weather"), "{answer}");
    }
}
