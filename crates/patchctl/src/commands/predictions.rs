//! `predictions`: forecasts held against what happened.

use api_types::patch::{PredictionCalibration, PredictionLedger, ScoredPrediction};

use super::OK;
use crate::arguments::{Format, PredictionsArguments};
use crate::connect::Connection;
use crate::failure::{Failure, Outcome};
use crate::output::{Printer, print};

const HEADINGS: [&str; 11] = [
    "run",
    "made",
    "learnt from",
    "minutes p50",
    "minutes p95",
    "actual",
    "within p95",
    "failure %",
    "failed hosts",
    "halt %",
    "halted",
];

pub async fn run(connection: &Connection, arguments: PredictionsArguments, printer: Printer) -> Outcome {
    let ledger = connection.patch().list_predictions(arguments.most.limit).await?;
    show(&ledger, printer)?;
    OK
}

fn show(ledger: &PredictionLedger, printer: Printer) -> Result<(), Failure> {
    if printer.format == Format::Json {
        return printer.json(ledger);
    }
    if printer.is_for_people() {
        let lines = match &ledger.calibration {
            Some(calibration) => told(calibration),
            None => "no predicted run has ended yet".to_owned(),
        };
        print(&(lines + "\n"))?;
        if ledger.items.is_empty() {
            return Ok(());
        }
        print("\n")?;
    }
    printer.rows(&HEADINGS, ledger.items.iter().map(row).collect())
}

/// The calibration, each figure beside what it should be.
fn told(calibration: &PredictionCalibration) -> String {
    let PredictionCalibration { runs, p50_held, p95_held, p95_held_low, p95_held_high, .. } = calibration;
    let percent = |share: &f64| format!("{:.1} %", share * 100.0);
    let verdict = match (p95_held_low..=p95_held_high).contains(&&0.95) {
        true => "which fits",
        false if p95_held < &0.95 => "runs take longer than predicted",
        false => "the prediction is wider than it need be",
    };
    format!(
        "{runs} runs held against their predictions\n\
         P50 held in {} of them (should be 50 %)\n\
         P95 held in {} of them (should be 95 %; {} to {} with 95 % confidence, {verdict})\n\
         duration: {:.2} times the predicted one on average\n\
         Brier score: {:.3} for \"some host fails\", {:.3} for \"it halts\" (0 is perfect, 0.25 says nothing)",
        percent(p50_held),
        percent(p95_held),
        percent(p95_held_low),
        percent(p95_held_high),
        calibration.duration_ratio,
        calibration.brier_failure,
        calibration.brier_halt,
    )
}

fn row(item: &ScoredPrediction) -> Vec<String> {
    let minutes = |seconds: f64| format!("{:.1}", seconds / 60.0);
    let learnt_from = match item.observations {
        0 => "prior".to_owned(),
        count => count.to_string(),
    };
    let yes_or_no = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    vec![
        item.run_id.to_string(),
        item.made_at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
        learnt_from,
        minutes(item.predicted_p50_seconds),
        minutes(item.predicted_p95_seconds),
        minutes(item.actual_seconds),
        yes_or_no(item.actual_seconds <= item.predicted_p95_seconds),
        format!("{:.1}", item.predicted_failure_probability * 100.0),
        item.actual_failed_hosts.to_string(),
        format!("{:.1}", item.predicted_halt_probability * 100.0),
        yes_or_no(item.halted),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calibration_says_which_way_it_errs() {
        let calibration = PredictionCalibration {
            runs: 100,
            p50_held: 0.5,
            p95_held: 0.96,
            p95_held_low: 0.9,
            p95_held_high: 0.98,
            duration_ratio: 1.02,
            brier_failure: 0.08,
            brier_halt: 0.01,
        };
        assert!(told(&calibration).contains("90.0 % to 98.0 % with 95 % confidence, which fits"));
        let late =
            PredictionCalibration { p95_held: 0.7, p95_held_low: 0.6, p95_held_high: 0.8, ..calibration };
        assert!(told(&late).contains("runs take longer than predicted"));
        let wide =
            PredictionCalibration { p95_held: 1.0, p95_held_low: 0.97, p95_held_high: 1.0, ..calibration };
        assert!(told(&wide).contains("wider than it need be"));
    }
}
