//! Routes, by area: they check requests, call what does the work, and shape
//! answers. Never SQL, never a decision about a stream.

use axum::Router;
use axum::extract::FromRef as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::answers::Outgoing;
use crate::state::AppState;

mod admin;
pub mod answers;
pub mod body;
mod commands;
mod conflicts;
mod dev;
mod devices;
pub mod extract;
mod health;
mod integrations;
pub mod layers;
mod marketplace;
pub mod openapi;
mod operator;
mod page;
mod streams;
mod sync;
mod tag;
mod webhooks;

/// All routes with their state, and the layers every request goes through.
pub fn router(state: AppState) -> Router {
    let (router, document) = routes(state.config.environment).split_for_parts();
    let document = openapi::finish(document).to_string();
    let answer = move || {
        let document = document.clone();
        async move { ([(http::header::CONTENT_TYPE, "application/json")], document) }
    };
    let router = router
        .route(openapi::PATH, axum::routing::get(answer))
        .route("/api/v1/sync/ws", axum::routing::get(sync::socket));
    let (config, metrics) = (state.config.clone(), state.metrics.clone());
    let outgoing = Outgoing::from_ref(&state);
    let hold = axum::middleware::from_fn_with_state(outgoing, answers::hold);
    layers::apply(router.with_state(state).layer(hold), &config, metrics)
}

fn marketplace_routes(router: OpenApiRouter<AppState>) -> OpenApiRouter<AppState> {
    router
        .routes(routes!(marketplace::skills))
        .routes(routes!(marketplace::skill, marketplace::edit))
        .routes(routes!(marketplace::rate, marketplace::withdraw_rating))
        .routes(routes!(marketplace::categories))
        .routes(routes!(conflicts::list))
        .routes(routes!(conflicts::get))
        .routes(routes!(conflicts::resolve))
        .routes(routes!(conflicts::restore))
        .routes(routes!(conflicts::bulk_resolve))
        .routes(routes!(admin::sync_status))
        .routes(routes!(admin::sync_trigger))
        .routes(routes!(admin::sync_config, admin::change_sync_config))
        .routes(routes!(admin::upload_ratings))
        .routes(routes!(admin::socket_status))
        .routes(routes!(admin::socket_reconnect))
        .routes(routes!(admin::socket_enable))
        .routes(routes!(admin::socket_disable))
        .routes(routes!(admin::failed_ratings))
        .routes(routes!(admin::retry_rating))
        .routes(routes!(admin::health))
        // The same conflicts, beside what else operators do.
        .route("/api/v1/admin/conflicts", axum::routing::get(conflicts::list_for_operators))
        .route("/api/v1/admin/conflicts/{id}", axum::routing::get(conflicts::get_for_operators))
        .route("/api/v1/admin/conflicts/{id}/resolve", axum::routing::post(conflicts::resolve))
        .route("/api/v1/admin/conflicts/{id}/restore", axum::routing::post(conflicts::restore))
        .route("/api/v1/admin/conflicts/bulk-resolve", axum::routing::post(conflicts::bulk_resolve))
}

fn health_routes(router: OpenApiRouter<AppState>) -> OpenApiRouter<AppState> {
    router
        .routes(routes!(health::ingest::steps))
        .routes(routes!(health::ingest::sleep))
        .routes(routes!(health::ingest::workouts))
        .routes(routes!(health::ingest::profile))
        .routes(routes!(health::ingest::entry))
        .routes(routes!(health::ingest::zuralog))
        .routes(routes!(health::ingest::all))
        .routes(routes!(health::ingest::export))
        .routes(routes!(health::entries::list))
        .routes(routes!(health::entries::get, health::entries::correct))
        .routes(routes!(health::profile::get, health::profile::change))
        .routes(routes!(health::sleep::list))
        .routes(routes!(health::activities::list))
        .routes(routes!(health::activities::get, health::activities::delete))
}

fn provider_routes(router: OpenApiRouter<AppState>) -> OpenApiRouter<AppState> {
    router
        .routes(routes!(integrations::list))
        .routes(routes!(integrations::connect))
        .routes(routes!(integrations::callback))
        .routes(routes!(integrations::sync))
        .routes(routes!(integrations::disconnect))
        .routes(routes!(webhooks::strava_challenge, webhooks::strava))
        .routes(routes!(webhooks::oura_challenge, webhooks::oura))
        .routes(routes!(webhooks::google_health))
}

/// The routes that the OpenAPI document describes.
fn routes(environment: crate::config::Environment) -> OpenApiRouter<AppState> {
    let router = openapi::base()
        .routes(routes!(devices::register))
        .routes(routes!(devices::list))
        .routes(routes!(devices::remove))
        .routes(routes!(devices::list_of_user))
        .routes(routes!(devices::end_sessions))
        .routes(routes!(devices::webpush_key))
        .routes(routes!(sync::poll))
        .routes(routes!(sync::ack))
        .routes(routes!(sync::results))
        .routes(routes!(sync::mutate))
        .routes(routes!(commands::create, commands::list))
        .routes(routes!(commands::create_batch))
        .routes(routes!(commands::get, commands::cancel))
        .routes(routes!(streams::publish))
        .routes(routes!(operator::healthz))
        .routes(routes!(operator::readyz))
        .routes(routes!(operator::metrics));
    let router = provider_routes(health_routes(marketplace_routes(router)));
    match environment {
        crate::config::Environment::Development => router.routes(routes!(dev::trigger_write)),
        crate::config::Environment::Production => router,
    }
}
