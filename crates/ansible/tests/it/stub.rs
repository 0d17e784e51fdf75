//! A minimal sim-engine and CMDB for the playbooks: the guest API over plain threads, and a record of calls.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

#[derive(Clone)]
pub struct Guest {
    pub packages: BTreeMap<String, String>,
    /// Name to (active, healthy).
    pub services: BTreeMap<String, (bool, bool)>,
    pub sessions: u32,
    pub disk_free_percent: f64,
    pub patch: Duration,
    pub reboot: Duration,
    pub drain: Duration,
    pub needs_reboot: bool,
    /// The package manager's error when a transaction must fail.
    pub failure: Option<String>,
    pub unreachable: bool,
    /// Silent after the first transaction.
    pub dies_while_patching: bool,
    /// Services run after their next start and are not healthy.
    pub breaks_on_start: bool,
    pub boot: u32,
    /// Until then another transaction holds the package lock.
    pub locked_until: Option<Instant>,
    pub reboot_pending: bool,
    /// What it reports of its kernels at each boot, the last one also after all later boots; empty: nothing.
    pub reboot_facts: Vec<Value>,
    /// Units that still run deleted files.
    pub stale: BTreeSet<String>,
    pub silent_until: Option<Instant>,
    pub drained_at: Option<Instant>,
    pub transactions: BTreeMap<String, (Instant, Value)>,
    /// The highest epoch that it has seen, of any run.
    pub epoch: u64,
}

impl Default for Guest {
    fn default() -> Self {
        Self {
            packages: BTreeMap::from([
                ("openssl".into(), "3.0.7-16.el9".into()),
                ("curl".into(), "7.76.1-23.el9".into()),
            ]),
            services: BTreeMap::from([("web".into(), (true, true))]),
            sessions: 3,
            disk_free_percent: 60.0,
            patch: Duration::from_millis(100),
            reboot: Duration::from_millis(200),
            drain: Duration::from_millis(50),
            needs_reboot: true,
            failure: None,
            unreachable: false,
            dies_while_patching: false,
            breaks_on_start: false,
            boot: 1,
            locked_until: None,
            reboot_pending: false,
            reboot_facts: Vec::new(),
            stale: BTreeSet::new(),
            silent_until: None,
            drained_at: None,
            transactions: BTreeMap::new(),
            epoch: 0,
        }
    }
}

impl Guest {
    fn boot_id(&self) -> String {
        format!("00000000-0000-0000-0000-{:012}", self.boot)
    }

    fn is_silent(&self) -> bool {
        self.unreachable || self.silent_until.is_some_and(|until| Instant::now() < until)
    }

    fn sessions_now(&self) -> u32 {
        if self.drained_at.is_some_and(|at| at.elapsed() >= self.drain) { 0 } else { self.sessions }
    }

    /// Applies the transactions that are due.
    fn apply_due_transactions(&mut self) {
        for (due, transaction) in self.transactions.values_mut() {
            if transaction["state"] != "running" || Instant::now() < *due {
                continue;
            }
            self.unreachable |= self.dies_while_patching;
            transaction["finished_at"] = "2026-01-01T00:00:01Z".into();
            if let Some(failure) = &self.failure {
                transaction["state"] = "failed".into();
                transaction["failure"] = failure.as_str().into();
                continue;
            }
            let wanted = transaction["wanted"].as_object().cloned().unwrap_or_default();
            let mut changed = Vec::new();
            for (package, version) in wanted {
                let version = version.as_str().unwrap_or_default().to_owned();
                let before = self.packages.insert(package.clone(), version.clone()).unwrap_or_default();
                if before != version {
                    changed.push(json!({"package": package, "from": before, "to": version}));
                }
            }
            self.reboot_pending |= self.needs_reboot && !changed.is_empty();
            transaction["state"] = "completed".into();
            transaction["changed"] = changed.into();
            transaction["reboot_pending"] = self.reboot_pending.into();
        }
    }

    fn json(&self, id: &str) -> Value {
        let packages = self.packages.iter().map(
            |(name, version)| json!({"name": name, "version": version, "candidate": null, "held": false}),
        );
        let services = self.services.iter().map(|(name, (active, healthy))| {
            json!({"name": name, "port": 80, "active": active, "healthy": active & healthy, "config_valid": true,
                   "sessions": if *active { self.sessions_now() } else { 0 }})
        });
        let stale = self.stale.iter().map(|unit| {
            json!({"kind": "service", "name": unit, "processes": 1, "files": ["/usr/lib/libssl.so.3"]})
        });
        json!({
            "stale_services": {"state": "checked", "services": stale.collect::<Vec<_>>()},
            "id": id, "os": "rocky9", "packaging": "rpm", "boot_id": self.boot_id(), "booted_at": "2026-01-01T00:00:00Z",
            "reboot_pending": self.reboot_pending, "disk_free_percent": self.disk_free_percent, "clock_offset_ms": 3,
            "reboot_facts": self.reboot_facts.iter().take(self.boot as usize).next_back(),
            "packages": packages.collect::<Vec<_>>(), "services": services.collect::<Vec<_>>(),
        })
    }
}

#[derive(Default)]
pub struct World {
    pub guests: BTreeMap<String, Guest>,
    /// CI to owner.
    pub maintenance: BTreeMap<String, String>,
    /// `METHOD /path` of everything but reads.
    pub writes: Vec<String>,
    /// Until then every connection is closed unanswered.
    pub gone_until: Option<Instant>,
    pub token: Option<String>,
    pub refused_tokens: u32,
    pub in_work: usize,
    pub most_in_work: usize,
}

#[derive(Clone)]
pub struct Stub {
    world: Arc<Mutex<World>>,
    pub url: String,
}

impl Stub {
    /// Listens until the test process ends.
    pub fn start(guests: impl IntoIterator<Item = (String, Guest)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let world = Arc::new(Mutex::new(World { guests: guests.into_iter().collect(), ..World::default() }));
        let stub = Self { world, url };
        let serving = stub.clone();
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let stub = serving.clone();
                thread::spawn(move || stub.serve(connection));
            }
        });
        stub
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("no test panicked while it held the world")
    }

    pub fn wrote(&self, what: &str) -> usize {
        self.world().writes.iter().filter(|write| write.contains(what)).count()
    }

    fn serve(&self, connection: TcpStream) -> Option<()> {
        connection.set_nodelay(true).ok()?;
        let mut reader = BufReader::new(connection.try_clone().ok()?);
        let mut writer = connection;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let mut words = line.split_whitespace();
            let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
            let (mut length, mut token) = (0, None);
            loop {
                let mut header = String::new();
                reader.read_line(&mut header).ok()?;
                let Some((name, value)) = header.split_once(':') else { break };
                match name.to_ascii_lowercase().as_str() {
                    "content-length" => length = value.trim().parse().ok()?,
                    "authorization" => token = value.trim().strip_prefix("Bearer ").map(str::to_owned),
                    _ => {}
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).ok()?;
            let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
            if self.world().gone_until.is_some_and(|until| Instant::now() < until) {
                return None;
            }
            let (status, answer) = self.answer(&method, &path, &body, token);
            let answer = answer.to_string();
            let head = format!(
                "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                answer.len()
            );
            writer.write_all((head + &answer).as_bytes()).ok()?;
        }
    }

    fn answer(&self, method: &str, path: &str, body: &Value, token: Option<String>) -> (u16, Value) {
        let mut world = self.world();
        if world.token.is_some() && world.token != token {
            world.refused_tokens += 1;
            return problem(401, "unauthenticated", "the token is unknown");
        }
        if method != "GET" {
            world.writes.push(format!("{method} {path}"));
        }
        let parts: Vec<String> = path.split('/').skip(1).map(|part| part.replace("%3A", ":")).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        match (method, parts.as_slice()) {
            ("PUT", ["cmdb", "cis", id, "maintenance"]) => {
                let owner = body["owner"].as_str().unwrap_or_default().to_owned();
                match body["state"].as_str() {
                    Some("on") if body["duration_seconds"].is_u64() => {
                        world.maintenance.insert((*id).to_owned(), owner);
                        world.in_work += 1;
                        world.most_in_work = world.most_in_work.max(world.in_work);
                    }
                    Some("off") => {
                        if world.maintenance.remove(*id).is_some() {
                            world.in_work -= 1;
                        }
                    }
                    _ => return problem(422, "invalid-request", "the body is wrong"),
                }
                (200, json!({}))
            }
            (_, ["sim", "vms", id, rest @ ..]) => match world.guests.get_mut(*id) {
                Some(guest) => guest_answer(guest, id, method, rest, body),
                None => problem(404, "not-found", "there is no such VM"),
            },
            _ => problem(404, "not-found", "there is nothing here"),
        }
    }
}

fn guest_answer(guest: &mut Guest, id: &str, method: &str, rest: &[&str], body: &Value) -> (u16, Value) {
    guest.apply_due_transactions();
    if let ("POST", ["snapshots", _, "revert"]) = (method, rest) {
        let fresh = Guest {
            boot: guest.boot + 1,
            silent_until: Some(Instant::now() + guest.reboot),
            ..Guest::default()
        };
        *guest = fresh;
        return (200, json!({}));
    }
    if guest.is_silent() {
        return problem(503, "guest-unreachable", "the guest does not answer");
    }
    let epoch = body.pointer("/owner/epoch").or(body.get("epoch")).and_then(Value::as_u64);
    if let Some(epoch) = epoch {
        if epoch < guest.epoch {
            let detail = format!("epoch {epoch} has ended: the guest has worked for epoch {}", guest.epoch);
            return problem(409, "run-superseded", &detail);
        }
        guest.epoch = epoch;
    }
    match (method, rest) {
        ("PUT", ["guest", "runs", _]) => (200, json!({})),
        ("GET", ["guest"]) => (200, guest.json(id)),
        ("POST", ["guest", "transactions"]) => {
            let key = body["transaction_id"].as_str().unwrap_or_default().to_owned();
            if guest.locked_until.is_some_and(|until| Instant::now() < until) {
                return problem(409, "transaction-in-progress", "another transaction holds the package lock");
            }
            let due = Instant::now() + guest.patch;
            let fresh = json!({
                "transaction_id": key, "state": "running", "changed": [], "failure": null, "reboot_pending": false,
                "started_at": "2026-01-01T00:00:00Z", "finished_at": null, "wanted": body["packages"],
            });
            (202, guest.transactions.entry(key).or_insert((due, fresh)).1.clone())
        }
        ("GET", ["guest", "transactions", key]) => match guest.transactions.get(*key) {
            Some((_, transaction)) => (200, transaction.clone()),
            None => problem(404, "not-found", "there is no such transaction"),
        },
        ("POST", ["guest", "services", name]) => {
            let Some((active, healthy)) = guest.services.get_mut(*name) else {
                return problem(404, "not-found", "there is no such service");
            };
            match body["action"].as_str() {
                Some("restart") => {
                    (*active, *healthy) = (true, !guest.breaks_on_start);
                    guest.stale.remove(*name);
                }
                Some("start") => (*active, *healthy) = (true, !guest.breaks_on_start),
                Some("stop") => *active = false,
                Some("drain") => guest.drained_at = Some(Instant::now()),
                _ => return problem(422, "invalid-request", "the action is unknown"),
            }
            (200, json!({}))
        }
        ("POST", ["guest", "reboot"]) => {
            if body["boot_id"].is_null() || body["boot_id"] == guest.boot_id().as_str() {
                guest.boot += 1;
                guest.reboot_pending = false;
                guest.silent_until = Some(Instant::now() + guest.reboot);
            }
            (202, json!({}))
        }
        _ => problem(404, "not-found", "there is nothing here"),
    }
}

fn problem(status: u16, kind: &str, detail: &str) -> (u16, Value) {
    (status, json!({"type": format!("/problems/{kind}"), "title": kind, "status": status, "detail": detail}))
}
