//! A mail server of a few lines: it accepts or refuses as configured, and keeps what it received.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

#[derive(Clone)]
pub struct Mailbox {
    pub url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    messages: Vec<Message>,
    /// Answered to the next messages instead of taking them.
    refusals: Vec<&'static str>,
}

#[derive(Debug, Clone, Default)]
pub struct Message {
    pub from: String,
    pub to: Vec<String>,
    pub text: String,
}

impl Mailbox {
    pub async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mailbox =
            Self { url: format!("smtp://{}", listener.local_addr().unwrap()), state: Arc::default() };
        let state = mailbox.state.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = state.clone();
                tokio::spawn(async move { converse(stream, state).await.ok() });
            }
        });
        mailbox
    }

    pub fn refuse_next(&self, answers: &[&'static str]) {
        self.state.lock().unwrap().refusals.extend(answers.iter().rev());
    }

    pub fn messages(&self) -> Vec<Message> {
        self.state.lock().unwrap().messages.clone()
    }
}

async fn converse(stream: TcpStream, state: Arc<Mutex<State>>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut message = Message::default();
    stream.write_all(b"220 test ESMTP\r\n").await?;
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let command = line.trim_end().to_owned();
        let upper = command.to_ascii_uppercase();
        let address = || command.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
        if upper.starts_with("EHLO") {
            stream.write_all(b"250-test\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n").await?;
        } else if upper.starts_with("MAIL FROM") {
            message = Message { from: address(), ..Message::default() };
            stream.write_all(b"250 ok\r\n").await?;
        } else if upper.starts_with("RCPT TO") {
            message.to.push(address());
            stream.write_all(b"250 ok\r\n").await?;
        } else if upper == "DATA" {
            stream.write_all(b"354 go on\r\n").await?;
            loop {
                line.clear();
                if stream.read_line(&mut line).await? == 0 {
                    return Ok(());
                }
                if line.trim_end() == "." {
                    break;
                }
                message.text.push_str(line.strip_prefix('.').unwrap_or(&line));
            }
            let refusal = state.lock().unwrap().refusals.pop();
            match refusal {
                Some(answer) => stream.write_all(format!("{answer}\r\n").as_bytes()).await?,
                None => {
                    state.lock().unwrap().messages.push(std::mem::take(&mut message));
                    stream.write_all(b"250 kept\r\n").await?;
                }
            }
        } else if upper == "QUIT" {
            stream.write_all(b"221 bye\r\n").await?;
            return Ok(());
        } else {
            stream.write_all(b"250 ok\r\n").await?;
        }
    }
}
