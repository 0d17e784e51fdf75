//! Templates of standard changes: work that was assessed once and is approved when it is submitted.

use api_types::itsm::{Change, Risk, Template};
use chrono::TimeDelta;
use service_kit::{ApiError, ApiResult, problem_types};

/// The catalogue. It is part of the program, because a template that an operator could add would let them approve.
pub fn list_templates() -> Vec<Template> {
    vec![
        Template {
            name: "monthly-baseline".to_owned(),
            description: "scheduled installation of the month's published updates by a policy, in its window"
                .to_owned(),
            max_risk: Risk::Moderate,
            max_span_hours: 7 * 24,
        },
        Template {
            name: "product-release".to_owned(),
            description:
                "rollout of a product's patch release to customers, tier by tier, by its type's rules"
                    .to_owned(),
            max_risk: Risk::Moderate,
            max_span_hours: 100 * 24,
        },
    ]
}

pub fn find_template(name: &str) -> Option<Template> {
    list_templates().into_iter().find(|template| template.name == name)
}

/// The template that approves this standard change, or why none does.
pub fn approving_template(change: &Change) -> ApiResult<Template> {
    let template = change.template.as_deref().and_then(find_template).ok_or_else(|| {
        ApiError::new(
            problem_types::TEMPLATE_MISSING,
            "this standard change has no template of the catalogue; /itsm/templates lists them",
        )
    })?;
    if change.risk > template.max_risk {
        return Err(ApiError::new(
            problem_types::TEMPLATE_DOES_NOT_FIT,
            format!("its risk is higher than template `{}` approves; open a normal change", template.name),
        ));
    }
    if change.end_at - change.start_at > TimeDelta::hours(i64::from(template.max_span_hours)) {
        return Err(ApiError::new(
            problem_types::TEMPLATE_DOES_NOT_FIT,
            format!(
                "its span is longer than the {} hours that template `{}` approves; open a normal change",
                template.max_span_hours, template.name
            ),
        ));
    }
    Ok(template)
}
