//! What is read while a million hosts are stored, and a new advisory for all of them.

use std::{
    sync::Arc,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::{
    Bench, LOAD_LASTS, baseline, fleet,
    measure::{Load, load, median, memory_megabytes},
};

impl Bench {
    pub async fn roll_ups(&mut self) -> anyhow::Result<()> {
        eprintln!("roll-ups");
        let plain = baseline::group_by(&self.pool, 7).await?;
        let ours = self.time_of("/patch/compliance", 200).await?;
        self.compare("GET /patch/compliance, median", ours, plain, 300.0);
        Ok(())
    }

    /// Median response time.
    async fn time_of(&self, path: &str, rounds: usize) -> anyhow::Result<Duration> {
        let mut times = Vec::new();
        for _ in 0..rounds {
            let began = Instant::now();
            let answer = self
                .client
                .get(format!("{}{path}", self.patch.base))
                .bearer_auth(&self.viewer_token)
                .send()
                .await?
                .error_for_status()?;
            answer.bytes().await?;
            times.push(began.elapsed());
        }
        Ok(median(times))
    }

    fn compare(&mut self, what: &str, ours: Duration, plain: Duration, target: f64) {
        let ratio = plain.as_secs_f64() / ours.as_secs_f64();
        self.table.add(
            what,
            milliseconds(ours),
            milliseconds(plain),
            format!("1/{ratio:.0}"),
            &format!("<= 1/{target:.0}"),
            Some(ratio >= target),
        );
    }

    pub async fn one_ci(&mut self) -> anyhow::Result<()> {
        eprintln!("one CI");
        let bare = baseline::serve_bare(self.bare_pool.clone()).await?;
        let cis = self.cis;
        let anyone = move |number: usize| fleet::ci_id(number.wrapping_mul(2_654_435_761) % cis);
        let (mut ours, mut plain): (Vec<Load>, Vec<Load>) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            let path = move |number| format!("/ci/{}", anyone(number));
            plain.push(load(&self.cpu, &bare, None, LOAD_LASTS, path).await?);
            let path = move |number| format!("/patch/compliance/{}", anyone(number));
            ours.push(load(&self.cpu, &self.address(), Some(&self.viewer_token), LOAD_LASTS, path).await?);
        }
        // The median of three alternating rounds: a busy machine affects both alike.
        let middle = |loads: &mut Vec<Load>| {
            loads.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
            loads[loads.len() / 2]
        };
        let (ours, plain) = (middle(&mut ours), middle(&mut plain));
        let text = |load: &Load| format!("{:.0}/s, {:.0} us CPU", load.per_second, load.cpu * 1e6);
        let ratio = ours.per_second / plain.per_second;
        self.table.add(
            "GET /patch/compliance/{ci_id}, requests",
            text(&ours),
            text(&plain),
            format!("{:.0} %", ratio * 100.0),
            ">= 80 %",
            Some(ratio >= 0.8),
        );
        let tail = ours.p99.as_secs_f64() / plain.p99.as_secs_f64();
        self.table.add(
            "GET /patch/compliance/{ci_id}, P99",
            milliseconds(ours.p99),
            milliseconds(plain.p99),
            format!("{tail:.2}"),
            "<= 1.5",
            Some(tail <= 1.5),
        );
        Ok(())
    }

    pub async fn affected(&mut self) -> anyhow::Result<()> {
        eprintln!("affected CIs");
        for (name, cve) in
            [("rare", fleet::RARE_CVE), ("1 %", fleet::MIDDLE_CVE), ("95 %", fleet::COMMON_CVE)]
        {
            let (page, count) = baseline::affected(&self.pool, cve, 3).await?;
            let ours = self.time_of(&format!("/patch/advisories/{cve}?limit=100"), 100).await?;
            self.compare(&format!("affected by a CVE, {name}: page and total"), ours, page + count, 200.0);
            self.table.add(
                &format!("  jsonb with GIN, {name}"),
                String::new(),
                format!("{} + {}", milliseconds(page), milliseconds(count)),
                String::new(),
                "",
                None,
            );
        }
        let path = format!("/patch/advisories/{}", fleet::COMMON_CVE);
        let depth = self.cis * 9 / 10;
        let (mut seen, mut token) = (0, String::new());
        while seen < depth {
            let page: Value = self.operator.get(&format!("{path}?limit=1000{token}")).await.expect(200);
            seen += page["affected"].as_array().map_or(0, Vec::len);
            token =
                format!("&page_token={}", page["next_page_token"].as_str().context("the list ended early")?);
        }
        let first = self.time_of(&format!("{path}?limit=100"), 100).await?;
        let deep = self.time_of(&format!("{path}?limit=100{token}"), 100).await?;
        let ratio = deep.as_secs_f64() / first.as_secs_f64();
        self.table.add(
            &format!("page at depth {depth} against page 1"),
            milliseconds(deep),
            milliseconds(first),
            format!("{ratio:.2}"),
            "<= 2",
            Some(ratio <= 2.0),
        );
        Ok(())
    }

    /// The first page of lists of hosts and of searches for packages: common and rare ones.
    pub async fn lists(&mut self) -> anyhow::Result<()> {
        eprintln!("lists");
        let library = format!("/patch/packages/{}?below=1.0-10.el9", fleet::LIBRARY);
        for (name, path) in [
            ("hosts by name", "/patch/compliance/hosts"),
            ("hosts by status", "/patch/compliance/hosts?status=non_compliant"),
            ("hosts by status, none found", "/patch/compliance/hosts?status=unknown"),
            (
                "hosts by environment and OS, worst first",
                "/patch/compliance/hosts?env=dev&os=rocky:9&sort=severity",
            ),
            (
                "hosts by severity, soonest due first",
                "/patch/compliance/hosts?severity=critical,high&sort=due",
            ),
            ("hosts by environment, most pending first", "/patch/compliance/hosts?env=prod&sort=pending"),
            ("package on 95 % of the hosts, below a version", &library),
            ("package on 4 % of the hosts, below a version", "/patch/packages/pkg-007?below=2.4.1-40.el9"),
            ("package on 0.004 % of the hosts", "/patch/packages/rare-tool"),
        ] {
            let ours = self.time_of(path, 200).await?;
            let is_fast = ours < Duration::from_millis(5);
            let name = format!("{name}: first page");
            self.table.add(&name, milliseconds(ours), String::new(), String::new(), "< 5 ms", Some(is_fast));
        }
        Ok(())
    }

    pub async fn export(&mut self) -> anyhow::Result<()> {
        eprintln!("export");
        for format in ["csv", "json", "ndjson"] {
            let (before, began) = (memory_megabytes(), Instant::now());
            let mut answer = self
                .client
                .get(format!("{}/patch/compliance/export?format={format}", self.patch.base))
                .bearer_auth(&self.viewer_token)
                .send()
                .await?
                .error_for_status()?;
            let (mut rows, mut most) = (0, before);
            while let Some(piece) = answer.chunk().await? {
                rows += piece.iter().filter(|byte| **byte == b'\n').count();
                most = most.max(memory_megabytes());
            }
            let expected = self.cis + usize::from(format == "csv");
            ensure!(rows == expected, "the export has {rows} rows, not {expected}");
            let rate = self.cis as f64 / began.elapsed().as_secs_f64();
            let ours = format!("{rate:.0} rows/s");
            let grown = format!("{:.0} MB more", most - before);
            self.table.add(
                &format!("export as {format}"),
                ours,
                grown,
                String::new(),
                "constant",
                Some(most - before < 64.0),
            );
        }
        Ok(())
    }

    pub async fn late_advisory(&mut self) -> anyhow::Result<()> {
        eprintln!("a new advisory");
        let sample: Vec<String> = (0..300).map(|place| fleet::ci_id(place * 997 % self.cis)).collect();
        let each = baseline::match_each(&self.pool, &sample).await?;
        let done = Arc::new(AtomicBool::new(false));
        let reads = tokio::spawn(read_during(
            self.client.clone(),
            format!("{}/patch/compliance", self.patch.base),
            self.viewer_token.clone(),
            self.cis,
            done.clone(),
        ));
        let began = Instant::now();
        self.import(&fleet::late_advisory()).await?;
        let took = began.elapsed();
        done.store(true, Ordering::Relaxed);
        let detail: Value = self.operator.get("/patch/advisories/BENCH-LATE?limit=1").await.expect(200);
        ensure!(detail["affected_total"] == self.cis, "the new advisory was not matched for all: {detail}");
        let mut times = reads.await??;
        times.sort_unstable();
        let ours = took / self.cis as u32;
        let ratio = each.as_secs_f64() / ours.as_secs_f64();
        self.table.add(
            "new advisory for all, each host",
            format!("{:.1} us", ours.as_secs_f64() * 1e6),
            format!("{:.0} us", each.as_secs_f64() * 1e6),
            format!("1/{ratio:.0}"),
            "<= 1/50",
            Some(ratio >= 50.0),
        );
        let whole = took.as_secs_f64() * 1e6 / self.cis as f64;
        self.table.add(
            "  in all, and for a million",
            format!("{:.1} s, {whole:.0} s", took.as_secs_f64()),
            String::new(),
            String::new(),
            "< 60 s",
            Some(whole < 60.0),
        );
        let at = |share: f64| times.get((times.len() as f64 * share) as usize).copied().unwrap_or_default();
        let shown = format!("{} / {}", milliseconds(at(0.5)), milliseconds(at(0.99)));
        self.table.add(
            "  reads during it, P50 / P99",
            shown,
            String::new(),
            String::new(),
            "fast",
            Some(at(0.99) < Duration::from_millis(100)),
        );
        Ok(())
    }
}

/// Reads CIs one after the other until `done`. Returns the response times.
async fn read_during(
    client: reqwest::Client,
    base: String,
    token: String,
    cis: usize,
    done: Arc<AtomicBool>,
) -> anyhow::Result<Vec<Duration>> {
    let (mut times, mut number) = (Vec::new(), 0_usize);
    while !done.load(Ordering::Relaxed) {
        let ci = fleet::ci_id(number.wrapping_mul(2_654_435_761) % cis);
        let began = Instant::now();
        let answer =
            client.get(format!("{base}/{ci}")).bearer_auth(&token).send().await?.error_for_status()?;
        answer.bytes().await?;
        times.push(began.elapsed());
        number += 1;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(times)
}

fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}
