//! Pictures of a run and of a comparison, as SVG texts.

mod series;

use domain::strategy::Strategy;
use planner::{NodePlan, Scenario};
use plotters::{
    coord::{Shift, types::RangedCoordf64},
    prelude::*,
};

use self::series::{AttemptEnd, Bar, Line};
use crate::{native::ScenarioComparison, output::Event};

const WIDTH: u32 = 1000;
/// More bars than this are unreadable; the first nodes to be patched are shown.
const MOST_BARS: usize = 60;
/// More lines than this are unreadable; those that fall lowest are shown.
const MOST_LINES: usize = 8;

/// The picture could not be drawn; the drawing library's reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("drawing failed: {0}")]
pub struct PlotError(String);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// When each node was patched, and how it ended.
pub fn gantt(events: &[Event]) -> Result<String, PlotError> {
    let bars = series::bars(events);
    let rows = series::rows(&bars, MOST_BARS);
    let end = bars.iter().map(|bar| bar.to).fold(1.0, f64::max);
    let height = 110 + 16 * rows.len().max(4) as u32;
    draw(height, |area| {
        let label = |row: &f64| {
            let name = rows.iter().enumerate().find(|(index, _)| *index as f64 == *row);
            name.map_or(String::new(), |(_, name)| (*name).to_owned())
        };
        let mut chart = ChartBuilder::on(area)
            .caption("Nodes over time", ("sans-serif", 18))
            .margin(10)
            .x_label_area_size(40)
            .y_label_area_size(150)
            .build_cartesian_2d(0.0..end, rows.len().max(1) as f64 - 0.4..-0.6)
            .map_err(failed)?;
        chart
            .configure_mesh()
            .x_desc("seconds")
            .light_line_style(WHITE)
            .x_label_formatter(&whole)
            .y_labels(rows.len() + 1)
            .y_label_formatter(&label)
            .disable_y_mesh()
            .draw()
            .map_err(failed)?;
        let rectangle = |bar: &Bar| {
            let row = rows.iter().position(|row| *row == bar.node)? as f64;
            let colour = match bar.outcome {
                AttemptEnd::Patched => GREEN.mix(0.6),
                AttemptEnd::RolledBack => RGBColor(255, 165, 0).mix(0.8),
                AttemptEnd::Failed => RED.mix(0.7),
            };
            Some(Rectangle::new([(bar.from, row - 0.35), (bar.to, row + 0.35)], colour.filled()))
        };
        chart.draw_series(bars.iter().filter_map(rectangle)).map_err(failed)?;
        Ok(())
    })
}

/// Members up of the services that fall lowest, over time.
pub fn capacity(scenario: &Scenario, plan: &NodePlan, events: &[Event]) -> Result<String, PlotError> {
    let lines = series::capacity(scenario, plan, events, MOST_LINES);
    lines_chart("Members up, per service", "members", &lines)
}

/// Exposure over time: the sum over unpatched nodes of criticality x severity.
pub fn exposure(scenario: &Scenario, events: &[Event]) -> Result<String, PlotError> {
    lines_chart(
        "Exposure",
        "criticality x severity",
        &[("unpatched".to_owned(), series::exposure(scenario, events))],
    )
}

/// Time against exposure of each strategy, with its downtime; the front is filled, the recommended strategy has a ring, and
/// a strategy with downtime is red.
pub fn pareto(comparison: &ScenarioComparison) -> Result<String, PlotError> {
    let points: Vec<(Strategy, f64, f64, f64, bool)> = comparison
        .outcomes
        .iter()
        .filter_map(|outcome| {
            let result = outcome.result.as_ref()?;
            let (time, exposure) = (result.duration_seconds.p95, result.compared_exposure().p95 / 3600.0);
            Some((outcome.strategy, time, exposure, result.downtime_seconds.mean, outcome.pareto))
        })
        .collect();
    let (right, top) =
        points.iter().fold((1.0, 1.0), |(x, y): (f64, f64), point| (x.max(point.1), y.max(point.2)));
    draw(520, |area| {
        let mut chart = chart(area, "Strategies: time, exposure and mean downtime", right * 1.25, top * 1.1)?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .x_label_formatter(&whole)
            .y_label_formatter(&whole)
            .x_desc("seconds until the end (P95)")
            .y_desc("exposure of runs that do not halt (P95, weighted hours)")
            .draw()
            .map_err(failed)?;
        for (strategy, x, y, downtime, on_front) in points {
            let colour = if downtime > 0.0 { RED } else { BLUE };
            let style = if on_front { colour.filled() } else { colour.stroke_width(1) };
            chart.draw_series([Circle::new((x, y), 5, style)]).map_err(failed)?;
            if comparison.recommendation == Some(strategy) {
                chart.draw_series([Circle::new((x, y), 9, RED.stroke_width(2))]).map_err(failed)?;
            }
            let label = format!("{strategy}, {downtime:.0} s down");
            let text = Text::new(label, (x + right * 0.015, y), ("sans-serif", 13));
            chart.draw_series([text]).map_err(failed)?;
        }
        Ok(())
    })
}

fn lines_chart(title: &str, what: &str, lines: &[Line]) -> Result<String, PlotError> {
    let points = || lines.iter().flat_map(|(_, points)| points);
    let right = points().map(|point| point.0).fold(1.0, f64::max);
    let top = points().map(|point| point.1).fold(1.0, f64::max);
    draw(420, |area| {
        let mut chart = chart(area, title, right, top * 1.05)?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .x_label_formatter(&whole)
            .x_desc("seconds")
            .y_desc(what)
            .draw()
            .map_err(failed)?;
        for (index, (name, points)) in lines.iter().enumerate() {
            let colour = Palette99::pick(index).to_rgba();
            let line = LineSeries::new(points.iter().copied(), colour.stroke_width(2));
            chart
                .draw_series(line)
                .map_err(failed)?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK)
            .draw()
            .map_err(failed)?;
        Ok(())
    })
}

fn chart<'a, 'b>(area: &'a Area<'b>, title: &str, right: f64, top: f64) -> Result<Chart<'a, 'b>, PlotError> {
    ChartBuilder::on(area)
        .caption(title, ("sans-serif", 18))
        .margin(10)
        .x_label_area_size(40)
        .y_label_area_size(80)
        .build_cartesian_2d(0.0..right, 0.0..top)
        .map_err(failed)
}

fn draw(height: u32, content: impl FnOnce(&Area) -> Result<(), PlotError>) -> Result<String, PlotError> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        area.fill(&WHITE).map_err(failed)?;
        content(&area)?;
        area.present().map_err(failed)?;
    }
    Ok(svg)
}

fn whole(number: &f64) -> String {
    format!("{number:.0}")
}

fn failed(error: impl std::fmt::Display) -> PlotError {
    PlotError(error.to_string())
}
