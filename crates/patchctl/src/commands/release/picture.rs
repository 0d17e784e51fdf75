//! A rollout as an SVG picture: a line per customer, grouped by tier.

use std::fmt::Write as _;

use api_types::patch::ReleaseTimeline;
use chrono::{DateTime, Utc};
use domain::{
    ids::CiId,
    release::{Happening, TimelineRow},
};

use super::timeline::{offset, span};

const WIDTH: f64 = 1000.0;
const LEFT: f64 = 170.0;
const RIGHT: f64 = 30.0;
const LINE: f64 = 18.0;
const TOP: f64 = 64.0;

/// Colours that people with colour blindness can distinguish.
fn colour(what: Happening) -> &'static str {
    match what {
        Happening::Started | Happening::CheckBegan => "#56b4e9",
        Happening::Deployed | Happening::CheckPassed => "#009e73",
        Happening::Failed | Happening::Unhealthy => "#d55e00",
        Happening::RolledBack => "#e69f00",
        Happening::Waiting | Happening::LeftOut | Happening::Ended => "#999999",
    }
}

pub(crate) fn svg(timeline: &ReleaseTimeline) -> String {
    let (began, ended) = (timeline.timeline.began_at, timeline.timeline.ended_at);
    let total = (ended - began).num_seconds().max(60) as f64;
    let x =
        |at: DateTime<Utc>| LEFT + (at - began).num_seconds().max(0) as f64 / total * (WIDTH - LEFT - RIGHT);
    let mut body = String::new();
    let mut y = TOP;
    for (wave, customers) in &timeline.waves {
        let of_wave: Vec<&TimelineRow> =
            timeline.timeline.rows.iter().filter(|row| &row.wave == wave).collect();
        let whole: Vec<&TimelineRow> = of_wave.iter().copied().filter(|row| row.customer.is_none()).collect();
        let height = LINE * (customers.len() as f64 + 1.0);
        let _ = write!(body, r##"<rect x="0" y="{y}" width="{WIDTH}" height="{height}" fill="#f6f6f6"/>"##);
        let _ = write!(body, r##"<text x="8" y="{}" font-weight="bold">{}</text>"##, y + 13.0, escape(wave));
        y += LINE;
        marks(&mut body, &whole, y - LINE, &x);
        for customer in customers {
            line(&mut body, &of_wave, customer, y, &x, ended);
            y += LINE;
        }
        y += 6.0;
    }
    let height = y + 40.0;
    let title = format!(
        "{} ({}), {}",
        timeline.version,
        timeline.kind.name().replace('_', " "),
        if timeline.is_forecast { "forecast" } else { "what happened" }
    );
    let mut axis = String::new();
    for tick in 0..=6 {
        let at = began + (ended - began) * tick / 6;
        let _ = write!(
            axis,
            r##"<line x1="{x:.1}" y1="{TOP}" x2="{x:.1}" y2="{y:.1}" stroke="#dddddd"/><text x="{x:.1}" y="{label:.1}" text-anchor="middle" fill="#555555">{text}</text>"##,
            x = x(at),
            label = y + 16.0,
            text = offset(at - began)
        );
    }
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="11"><rect width="{WIDTH}" height="{height}" fill="#ffffff"/><text x="8" y="24" font-size="16">{}</text><text x="8" y="42" fill="#555555">from {}, {} in total: {}</text>{body}{axis}</svg>
"##,
        escape(&title),
        began.format("%a %Y-%m-%d %H:%M UTC"),
        span(ended - began),
        escape(timeline.timeline.outcome.name())
    )
}

/// One customer: its deployment as a bar, then its state until the end.
fn line(
    body: &mut String,
    rows: &[&TimelineRow],
    customer: &CiId,
    y: f64,
    x: &impl Fn(DateTime<Utc>) -> f64,
    ended: DateTime<Utc>,
) {
    let own: Vec<&TimelineRow> =
        rows.iter().copied().filter(|row| row.customer.as_ref() == Some(customer)).collect();
    let _ = write!(body, r##"<text x="20" y="{}">{}</text>"##, y + 13.0, escape(customer.as_str()));
    for (index, row) in own.iter().enumerate() {
        let until = own.get(index + 1).map_or(ended, |next| next.at);
        let (from, to) = (x(row.at), x(until));
        let opacity = if row.what == Happening::Started { 1.0 } else { 0.45 };
        let _ = write!(
            body,
            r##"<rect x="{from:.1}" y="{}" width="{:.1}" height="10" fill="{}" fill-opacity="{opacity}"/>"##,
            y + 4.0,
            (to - from).max(2.0),
            colour(row.what)
        );
    }
    marks(body, &own, y, x);
}

fn marks(body: &mut String, rows: &[&TimelineRow], y: f64, x: &impl Fn(DateTime<Utc>) -> f64) {
    for row in rows {
        let _ = write!(
            body,
            r##"<circle cx="{:.1}" cy="{}" r="3" fill="{}"><title>{}</title></circle>"##,
            x(row.at),
            y + 9.0,
            colour(row.what),
            escape(&row.text)
        );
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
