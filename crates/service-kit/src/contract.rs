//! The OpenAPI contract of a service: what all services have in common, and what is read from it.

use std::{collections::HashMap, sync::Arc};

use axum::{
    extract::{MatchedPath, Request, State},
    http::Method,
    middleware::Next,
    response::{IntoResponse, Response},
};
use utoipa::openapi::{
    OpenApi, RefOr,
    path::{Operation, ParameterIn},
    security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};

use crate::{access, error::ApiError, merged_schemas::merge_closed_parts, problem, rights, server::Service};

/// The service's own contract, with what the kit adds.
pub(crate) fn complete<S: Service>(own: OpenApi) -> OpenApi {
    let mut contract = own.merge_from(access::routes().split_for_parts().1);
    // Replaced: the router's own info names other authors.
    contract.info = utoipa::openapi::Info::new(S::TITLE, env!("CARGO_PKG_VERSION"));
    contract.info.license = Some(utoipa::openapi::License::new("Apache-2.0"));
    let scheme = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
    contract.components.get_or_insert_default().add_security_scheme("token", scheme);
    contract.security = Some(vec![utoipa::openapi::security::SecurityRequirement::new("token", [""; 0])]);
    set_content_type_of_problems(&mut contract);
    rights::describe(S::NAME, &mut contract);
    merge_closed_parts(&mut contract);
    contract
}

/// Handlers only name the body of an error; its content type is the same everywhere.
fn set_content_type_of_problems(contract: &mut OpenApi) {
    for item in contract.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            for (status, response) in &mut operation.responses.responses {
                let RefOr::T(response) = response else { continue };
                if status.starts_with(['4', '5'])
                    && let Some(content) = response.content.shift_remove("application/json")
                {
                    response.content.insert(problem::CONTENT_TYPE.to_owned(), content);
                }
            }
        }
    }
}

/// The query parameters of each operation, read from the contract.
pub(crate) struct QueryParameters(HashMap<(Method, String), Vec<String>>);

impl QueryParameters {
    pub fn of(contract: &OpenApi) -> Self {
        let mut known = HashMap::new();
        for (path, item) in &contract.paths.paths {
            let operations = [
                (Method::GET, &item.get),
                (Method::POST, &item.post),
                (Method::PUT, &item.put),
                (Method::PATCH, &item.patch),
                (Method::DELETE, &item.delete),
            ];
            for (method, operation) in operations {
                if let Some(operation) = operation {
                    known.insert((method, path.clone()), query_parameters(operation));
                }
            }
        }
        Self(known)
    }
}

fn query_parameters(operation: &Operation) -> Vec<String> {
    let named = operation.parameters.iter().flatten().filter_map(|parameter| match parameter {
        RefOr::T(parameter) if parameter.parameter_in == ParameterIn::Query => Some(parameter.name.clone()),
        _ => None,
    });
    named.collect()
}

pub(crate) async fn refuse_unknown_parameters(
    State(known): State<Arc<QueryParameters>>,
    request: Request,
    next: Next,
) -> Response {
    let query = request.uri().query().unwrap_or_default();
    let path =
        request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned()).unwrap_or_default();
    if !query.is_empty()
        && let Some(names) = known.0.get(&(request.method().clone(), path))
    {
        let given = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split('=').next().unwrap_or(pair));
        if let Some(unknown) = given.into_iter().find(|name| !names.iter().any(|known| known == name)) {
            let takes = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            let shown: String = unknown.chars().take(60).collect();
            return ApiError::malformed(format!(
                "`{shown}` is not a query parameter of this path; it accepts: {takes}"
            ))
            .into_response();
        }
    }
    next.run(request).await
}
