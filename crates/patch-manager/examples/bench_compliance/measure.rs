//! CPU time, memory and requests per second.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Ticks of the kernel's clock in a second, on every Linux.
const TICKS: f64 = 100.0;

/// CPU seconds of a server and all its processes, including ended ones, and of this process.
pub struct Cpu {
    postmaster: u32,
}

impl Cpu {
    pub fn of_server(data_dir: &Path) -> Self {
        let pid = fs::read_to_string(data_dir.join("data/postmaster.pid")).unwrap_or_default();
        Self { postmaster: pid.lines().next().and_then(|line| line.parse().ok()).unwrap_or_default() }
    }

    pub fn seconds(&self) -> f64 {
        let mut ticks = 0;
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            let Some(fields) = stat(pid) else { continue };
            let own = fields[11] + fields[12];
            if pid == self.postmaster {
                // Includes ended children.
                ticks += own + fields[13] + fields[14];
            } else if pid == std::process::id() || fields[1] == u64::from(self.postmaster) {
                ticks += own;
            }
        }
        ticks as f64 / TICKS
    }
}

/// Fields of `/proc/<pid>/stat` after the name: state, parent, ...
fn stat(pid: u32) -> Option<Vec<u64>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<u64> = rest.split_ascii_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
    (fields.len() > 15).then_some(fields)
}

/// Resident memory of this process in MB.
pub fn memory_megabytes() -> f64 {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or_default() / 1024.0
}

pub fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Requests per second, and the 99th percentile of their response times.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub per_second: f64,
    pub p99: Duration,
    /// CPU seconds per request of service, server and client together.
    pub cpu: f64,
}

const CONNECTIONS: usize = 16;

/// Sends requests over persistent connections for the time `lasting`; `path` returns the path of the n-th one.
pub async fn load(
    cpu: &Cpu,
    address: &str,
    token: Option<&str>,
    lasting: Duration,
    path: impl Fn(usize) -> String + Clone + Send + Sync + 'static,
) -> anyhow::Result<Load> {
    let (began, cpu_before) = (Instant::now(), cpu.seconds());
    let mut tasks = Vec::new();
    for connection in 0..CONNECTIONS {
        let (address, path) = (address.to_owned(), path.clone());
        let header = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
        tasks.push(tokio::spawn(async move {
            let mut times = Vec::new();
            let mut stream = TcpStream::connect(&address).await?;
            stream.set_nodelay(true)?;
            let mut buffer = vec![0; 64 * 1024];
            let mut number = connection;
            while began.elapsed() < lasting {
                let request = format!("GET {} HTTP/1.1\r\nhost: bench\r\n{header}\r\n", path(number));
                let asked = Instant::now();
                stream.write_all(request.as_bytes()).await?;
                read_answer(&mut stream, &mut buffer).await?;
                times.push(asked.elapsed());
                number += CONNECTIONS;
            }
            anyhow::Ok(times)
        }));
    }
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await??);
    }
    let (elapsed, cpu_before) = (began.elapsed().as_secs_f64(), cpu.seconds() - cpu_before);
    times.sort_unstable();
    anyhow::ensure!(!times.is_empty(), "no request was answered");
    let count = times.len() as f64;
    Ok(Load {
        per_second: count / elapsed,
        p99: times[(times.len() - 1) * 99 / 100],
        cpu: cpu_before / count,
    })
}

/// Reads one answer of known length; an error unless it succeeded.
async fn read_answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> anyhow::Result<()> {
    let mut filled = 0;
    let (body, length) = loop {
        let read = stream.read(&mut buffer[filled..]).await?;
        anyhow::ensure!(read > 0, "the connection was closed");
        filled += read;
        if let Some(end) = buffer[..filled].windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let head = std::str::from_utf8(&buffer[..end])?.to_ascii_lowercase();
            anyhow::ensure!(head.starts_with("http/1.1 200"), "a request failed: {head}");
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
            break (end + 4, length.unwrap_or_default().trim().parse::<usize>()?);
        }
        anyhow::ensure!(filled < buffer.len(), "the head of an answer is too long");
    };
    if body + length > buffer.len() {
        buffer.resize(body + length, 0);
    }
    while filled < body + length {
        let read = stream.read(&mut buffer[filled..]).await?;
        anyhow::ensure!(read > 0, "the connection was closed");
        filled += read;
    }
    Ok(())
}
