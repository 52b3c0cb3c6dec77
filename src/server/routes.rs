//! Which path leads to which handler.

use actix_web::web::{self, ServiceConfig};

use super::service::{nothing_here, wrong_method};
use super::{checkpoints, disposal, jobs, savepoints};

/// Adds all paths.
pub(super) fn add(config: &mut ServiceConfig) {
    let at = |path: &str| web::resource(path.to_owned()).default_service(web::to(wrong_method));
    config
        .service(at("/metrics").route(web::get().to(jobs::metrics)))
        .service(at("/jobs/overview").route(web::get().to(jobs::overview)))
        .service(
            at("/jobs/{job}")
                .route(web::get().to(jobs::details))
                .route(web::patch().to(jobs::cancel)),
        )
        .service(at("/jobs/{job}/exceptions").route(web::get().to(jobs::exceptions)))
        .service(at("/jobs/{job}/stop").route(web::post().to(savepoints::stop)))
        .service(
            at("/jobs/{job}/vertices/{vertex}/backpressure")
                .route(web::get().to(jobs::back_pressure)),
        )
        .service(
            at("/jobs/{job}/checkpoints")
                .route(web::get().to(checkpoints::overview))
                .route(web::post().to(checkpoints::take)),
        )
        .service(at("/jobs/{job}/checkpoints/config").route(web::get().to(checkpoints::config)))
        .service(
            at("/jobs/{job}/checkpoints/details/{checkpoint}")
                .route(web::get().to(checkpoints::details)),
        )
        .service(
            at("/jobs/{job}/checkpoints/details/{checkpoint}/subtasks/{vertex}")
                .route(web::get().to(checkpoints::subtasks)),
        )
        .service(at("/jobs/{job}/checkpoints/{trigger}").route(web::get().to(checkpoints::state)))
        .service(at("/jobs/{job}/savepoints").route(web::post().to(savepoints::take)))
        .service(at("/jobs/{job}/savepoints/{trigger}").route(web::get().to(savepoints::state)))
        .service(at("/savepoint-disposal").route(web::post().to(disposal::dispose)))
        .service(at("/savepoint-disposal/{trigger}").route(web::get().to(disposal::state)))
        .default_service(web::to(nothing_here));
}
