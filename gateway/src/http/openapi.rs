//! The OpenAPI document, generated from the routes. The socket cannot be
//! expressed in it: its contract is the protocol's fixtures.

use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;

use crate::config::Environment;
use crate::state::AppState;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tidegate",
        description = "WebSocket-first realtime sync gateway. The socket at /api/v1/sync/ws speaks the subprotocol tidegate.v1 and is not described here.",
        license(name = "Apache-2.0")
    ),
    modifiers(&BearerToken),
    security(("bearer" = []))
)]
struct Document;

struct BearerToken;

impl utoipa::Modify for BearerToken {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// The router that routes are added to.
pub(super) fn base() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(Document::openapi())
}

/// The document of a gateway in development, which has every route.
pub fn document() -> utoipa::openapi::OpenApi {
    super::routes(Environment::Development).into_openapi()
}
