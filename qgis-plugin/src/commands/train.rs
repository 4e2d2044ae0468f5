//! `unclouded train`: reads the recipe, opens the device, trains.

use serde_json::json;

use crate::cli::TrainArgs;
use crate::failure::{Failure, Result};
use crate::progress::Reporter;
use crate::recipe::TrainConfig;
use crate::training::Resume;
use crate::{device, training};

/// Runs the command.
pub fn run(args: &TrainArgs, reporter: &mut Reporter) -> Result<()> {
    let config = TrainConfig::load(&args.config)?;
    let recipe = std::fs::read_to_string(&args.config)
        .map_err(|error| Failure::mismatch(args.config.display(), "a readable recipe", error))?;
    let chosen = device::choose(args.device)?;
    reporter.start("train", json!({ "device": chosen }));
    reporter.info(chosen.describe());
    let resume = match (args.resume, args.force) {
        (false, _) => Resume::No,
        (true, false) => Resume::Same,
        (true, true) => Resume::Forced,
    };
    let trained = training::train(&config, &recipe, &chosen, resume, reporter)?;
    reporter.done(
        &format!(
            "{} after {} steps; {:.1} % of the time went by waiting for batches",
            trained.checkpoint.display(),
            trained.steps,
            100.0 * trained.waited
        ),
        json!({
            "checkpoint": trained.checkpoint,
            "steps": trained.steps,
            "val_loss": trained.val_loss,
            "waited": trained.waited,
        }),
    );
    Ok(())
}
