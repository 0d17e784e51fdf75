//! Enforces the table of rights ([`api_types::rights`]) before a handler is called, and writes it into the contract.

use std::{collections::HashMap, sync::Arc};

use api_types::{
    problem_types,
    rights::{self, Refusal, Right, Who},
};
use axum::{
    extract::{MatchedPath, Request, State},
    http::Method,
    middleware::Next,
    response::{IntoResponse, Response},
};
use utoipa::openapi::{OpenApi, extensions::ExtensionsBuilder, path::Operation};

use crate::{
    auth::{self, Caller},
    error::{ApiError, ApiResult},
};

/// The rights of one service.
#[derive(Clone)]
pub(crate) struct Rights {
    /// `None`: an operation without a row.
    operations: Arc<HashMap<(Method, String), Option<&'static Right>>>,
    is_laboratory: bool,
}

impl Rights {
    /// The rights of the operations of a contract.
    pub(crate) fn of(service: &str, contract: &mut OpenApi, is_laboratory: bool) -> Self {
        let mut operations = HashMap::new();
        each_operation(contract, |method, path, _| {
            operations.insert((method.clone(), path.to_owned()), find(service, &method, path));
        });
        Self { operations: Arc::new(operations), is_laboratory }
    }

    fn check(&self, request: &Request) -> ApiResult<()> {
        let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str).unwrap_or_default();
        // HEAD is answered as GET.
        let method = if request.method() == Method::HEAD { Method::GET } else { request.method().clone() };
        // What is not in the contract is a page without data, or a method that the path does not have.
        let Some(right) = self.operations.get(&(method, path.to_owned())) else { return Ok(()) };
        let caller = request.extensions().get::<Caller>();
        let Some(right) = right else {
            return Err(ApiError::forbidden("nobody has a right to this operation; this is a defect"));
        };
        let roles = caller.map(|caller| caller.roles.as_slice());
        right.check(roles, self.is_laboratory).map_err(|refusal| refused(refusal, caller))
    }
}

fn refused(refusal: Refusal, caller: Option<&Caller>) -> ApiError {
    let subject = caller.map(|caller| caller.subject.as_str()).unwrap_or_default();
    match refusal {
        Refusal::NoToken => ApiError::unauthenticated(auth::MISSING),
        Refusal::NoRole([only]) => ApiError::forbidden(format!(
            "this needs the role `{}`; the token of `{subject}` does not have it",
            only.name()
        )),
        Refusal::NoRole(roles) => {
            let names: Vec<&str> = roles.iter().map(|role| role.name()).collect();
            ApiError::forbidden(format!(
                "this needs one of the roles `{}`; the token of `{subject}` has none of them",
                names.join("`, `")
            ))
        }
        Refusal::NoLaboratory => ApiError::new(
            problem_types::NO_LABORATORY,
            "this is only for a laboratory; start the sim-engine with `--laboratory`, if it simulates hosts",
        ),
    }
}

pub(crate) async fn enforce(State(rights): State<Rights>, request: Request, next: Next) -> Response {
    match rights.check(&request) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

fn find(service: &str, method: &Method, path: &str) -> Option<&'static Right> {
    rights::of_service(service).find(|right| right.method.name() == method.as_str() && right.path == path)
}

/// Adds to each operation who may call it: a sentence for people, and `x-roles` for programs.
pub(crate) fn describe(service: &str, contract: &mut OpenApi) {
    each_operation(contract, |method, path, operation| {
        let Some(right) = find(service, &method, path) else { return };
        let text = operation.description.take().map(|text| format!("{text}\n\n")).unwrap_or_default();
        operation.description = Some(format!("{text}{}", right.sentence()));
        if right.who == Who::Public {
            operation.security = Some(Vec::new());
        } else {
            let roles = ExtensionsBuilder::new().add("x-roles", right.names_of_roles()).build();
            operation.extensions.get_or_insert_default().merge(roles);
        }
    });
}

fn each_operation(contract: &mut OpenApi, mut visit: impl FnMut(Method, &str, &mut Operation)) {
    for (path, item) in &mut contract.paths.paths {
        let operations = [
            (Method::GET, &mut item.get),
            (Method::POST, &mut item.post),
            (Method::PUT, &mut item.put),
            (Method::PATCH, &mut item.patch),
            (Method::DELETE, &mut item.delete),
        ];
        for (method, operation) in operations {
            if let Some(operation) = operation {
                visit(method, path, operation);
            }
        }
    }
}
