//! `predictions`: compares forecasts with what happened.

use api_types::patch::{PredictionCalibration, PredictionLedger, ScoredPrediction};

use crate::arguments::PredictionsArguments;
use crate::connect::Connection;
use terminal::{CommandResult, OK};
use terminal::{Printer, print, row};

const HEADINGS: [&str; 11] = [
    "run",
    "made",
    "learnt from (attempts)",
    "duration p50 (min)",
    "duration p95 (min)",
    "actual (min)",
    "within p95",
    "some host fails (% of runs)",
    "failed (hosts)",
    "halts (% of runs)",
    "halted",
];

pub async fn run(
    connection: &Connection,
    arguments: PredictionsArguments,
    printer: Printer,
) -> CommandResult {
    show(&connection.patch().list_predictions(arguments.most.limit).await?, printer)
}

fn show(ledger: &PredictionLedger, printer: Printer) -> CommandResult {
    if printer.is_for_people() {
        let lines = match &ledger.calibration {
            Some(calibration) => summary(calibration),
            None => "no predicted run has ended yet".to_owned(),
        };
        print(&(lines + "\n"))?;
        if ledger.items.is_empty() {
            return OK;
        }
        print("\n")?;
    }
    printer.rows_of(ledger, &HEADINGS, ledger.items.iter().map(scored))
}

/// The calibration: each figure with its ideal value.
fn summary(calibration: &PredictionCalibration) -> String {
    let PredictionCalibration { runs, p50_held, p95_held, p95_held_low, p95_held_high, .. } = calibration;
    let percent = |share: &f64| format!("{:.1} %", share * 100.0);
    let verdict = if (p95_held_low..=p95_held_high).contains(&&0.95) {
        "which is accurate"
    } else if p95_held < &0.95 {
        "runs take longer than predicted"
    } else {
        "the prediction is wider than necessary"
    };
    format!(
        "{runs} runs compared with their predictions\n\
         P50 held in {} of them (should be 50 %)\n\
         P95 held in {} of them (should be 95 %; {} to {} with 95 % confidence, {verdict})\n\
         duration: {:.2} times the predicted one on average\n\
         Brier score: {:.3} for \"some host fails\", {:.3} for \"it halts\" (0 is perfect, 0.25 is uninformative)",
        percent(p50_held),
        percent(p95_held),
        percent(p95_held_low),
        percent(p95_held_high),
        calibration.duration_ratio,
        calibration.brier_failure,
        calibration.brier_halt,
    )
}

fn scored(item: &ScoredPrediction) -> Vec<String> {
    let minutes = |seconds: f64| format!("{:.1}", seconds / 60.0);
    let learnt_from = match item.observations {
        0 => "prior".to_owned(),
        count => count.to_string(),
    };
    let yes_or_no = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    row![
        item.run_id,
        item.made_at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
        learnt_from,
        minutes(item.predicted_p50_seconds),
        minutes(item.predicted_p95_seconds),
        minutes(item.actual_seconds),
        yes_or_no(item.actual_seconds <= item.predicted_p95_seconds),
        format!("{:.1}", item.predicted_failure_probability * 100.0),
        item.actual_failed_hosts,
        format!("{:.1}", item.predicted_halt_probability * 100.0),
        yes_or_no(item.halted),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calibration_names_the_direction_of_the_error() {
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
        assert!(summary(&calibration).contains("90.0 % to 98.0 % with 95 % confidence, which is accurate"));
        let late =
            PredictionCalibration { p95_held: 0.7, p95_held_low: 0.6, p95_held_high: 0.8, ..calibration };
        assert!(summary(&late).contains("runs take longer than predicted"));
        let wide =
            PredictionCalibration { p95_held: 1.0, p95_held_low: 0.97, p95_held_high: 1.0, ..calibration };
        assert!(summary(&wide).contains("wider than necessary"));
    }
}
