//! Tests of reading scheduler configurations, and of writing ours.

use super::*;

#[test]
fn ddpm_as_its_pipeline_writes_it() {
    let text = r#"{"_class_name": "DDPMScheduler", "beta_schedule": "squaredcos_cap_v2",
        "clip_sample": true, "clip_sample_range": 1.5, "num_train_timesteps": 500,
        "prediction_type": "v_prediction", "timestep_spacing": "leading"}"#;
    let s = Scheduler::parse(Some(text)).unwrap();
    assert_eq!(s.schedule, Schedule::Cosine { timesteps: 500 });
    assert_eq!((s.prediction, s.spacing), (Prediction::V, Spacing::Leading));
    assert_eq!(
        (s.sampler, s.steps, s.threshold),
        (Sampler::Ddpm, 500, Some(Threshold::Static { range: 1.5 }))
    );
    assert!(s.notes.is_empty());
}

#[test]
fn ours_survive_the_way_out_and_back() {
    for (schedule, prediction) in [
        (
            Schedule::Linear {
                timesteps: 1000,
                beta_start: 1e-4,
                beta_end: 0.02,
            },
            Prediction::Eps,
        ),
        (Schedule::Cosine { timesteps: 200 }, Prediction::X0),
        (
            Schedule::Karras {
                sigma_min: 0.02,
                sigma_max: 20.0,
                rho: 7.0,
            },
            Prediction::Edm { sigma_data: 0.9 },
        ),
    ] {
        let text = write(&schedule, prediction).unwrap().to_string();
        let again = Scheduler::parse(Some(&text)).unwrap();
        assert_eq!((again.schedule, again.prediction), (schedule, prediction));
    }
    let listed = write(
        &Schedule::SigmoidAlphaBar { timesteps: 10 },
        Prediction::Eps,
    )
    .unwrap();
    assert_eq!(listed["trained_betas"].as_array().unwrap().len(), 10);
    let karras = Schedule::Karras {
        sigma_min: 0.02,
        sigma_max: 20.0,
        rho: 7.0,
    };
    assert!(write(&karras, Prediction::Eps).is_err());
}

#[test]
fn what_is_not_supported_is_named() {
    for (text, words) in [
        (
            r#"{"_class_name": "ScoreSdeVeScheduler"}"#,
            ["_class_name", "ScoreSdeVe"],
        ),
        (
            r#"{"beta_schedule": "laplace"}"#,
            ["beta_schedule", "laplace"],
        ),
        (
            r#"{"thresholding": true, "sample_max_value": 0.5}"#,
            ["sample_max_value", "0.5"],
        ),
        (
            r#"{"rescale_betas_zero_snr": true, "beta_end": 0.01}"#,
            ["rescale_betas_zero_snr", "0.01"],
        ),
        (r#"{"trained_betas": [0.1]}"#, ["trained_betas", "0.1"]),
        (
            r#"{"variance_type": "learned"}"#,
            ["variance_type", "\"learned\""],
        ),
        ("{", ["JSON", "scheduler"]),
    ] {
        let error = Scheduler::parse(Some(text)).expect_err(text).to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }
}

fn parsed(text: &str) -> Scheduler {
    Scheduler::parse(Some(text)).unwrap_or_else(|error| panic!("{text}: {error}"))
}

const TRAILING: &str = r#", "timestep_spacing": "trailing""#;

#[test]
fn a_class_is_the_sampler_of_its_name() {
    for (class, more, sampler) in [
        ("DDIM", r#", "clip_sample": false"#, "ddim"),
        ("DDPMParallel", "", "ddpm"),
        ("PNDM", "", "pndm"),
        ("PNDM", r#", "skip_prk_steps": true"#, "plms"),
        ("EulerDiscrete", TRAILING, "euler"),
        ("EulerAncestralDiscrete", TRAILING, "euler-ancestral"),
        ("HeunDiscrete", TRAILING, "heun"),
        ("LMSDiscrete", TRAILING, "lms"),
        ("UniPCMultistep", "", "unipc-bh2"),
        ("UniPCMultistep", r#", "solver_type": "bh1""#, "unipc-bh1"),
        ("DPMSolverSinglestep", "", "dpmpp-2s"),
        ("DPMSolverMultistep", "", "dpmpp-2m"),
        ("DPMSolverMultistep", r#", "solver_order": 3"#, "dpmpp-3m"),
        // As Python writes it.
        (
            "DPMSolverMultistep",
            r#", "lambda_min_clipped": -Infinity"#,
            "dpmpp-2m",
        ),
        (
            "DPMSolverMultistep",
            r#", "algorithm_type": "sde-dpmsolver++""#,
            "dpmpp-2m-sde",
        ),
    ] {
        let s = parsed(&format!(r#"{{"_class_name": "{class}Scheduler"{more}}}"#));
        assert_eq!(s.sampler.name(), sampler, "{class}{more}");
        assert!(s.notes.is_empty(), "{class}: {:?}", s.notes);
    }
    let third = parsed(r#"{"_class_name": "UniPCMultistepScheduler", "solver_order": 3}"#);
    assert_eq!(third.options.unipc_order, 3);
}

#[test]
fn thresholds_variance_and_zero_snr_are_heeded() {
    let s = parsed(
        r#"{"_class_name": "DDPMScheduler", "thresholding": true, "sample_max_value": 2.5,
            "variance_type": "learned_range", "rescale_betas_zero_snr": true,
            "prediction_type": "v_prediction"}"#,
    );
    let quantile = 0.995;
    let most = 2.5;
    assert_eq!(s.threshold, Some(Threshold::Dynamic { quantile, most }));
    assert_eq!(s.variance, Variance::LearnedRange);
    let timesteps = 1000;
    let base = Base::Linear;
    assert_eq!(s.schedule, Schedule::ZeroTerminalSnr { timesteps, base });
    assert!(s.notes.is_empty());
    let large = parsed(r#"{"variance_type": "fixed_large"}"#);
    assert_eq!(large.variance, Variance::FixedLarge);
    // A class without the key does not heed it, in diffusers neither.
    let euler = parsed(r#"{"_class_name": "EulerDiscreteScheduler", "clip_sample": true}"#);
    assert_eq!(euler.threshold, None);
}

#[test]
fn levels_lie_where_the_class_puts_them() {
    let times = |class: &str, more: &str, steps: usize| -> Vec<f64> {
        let s = parsed(&format!(r#"{{"_class_name": "{class}Scheduler"{more}}}"#));
        let levels = s.levels(steps).unwrap();
        levels.iter().map(|level| level.timestep).collect()
    };
    assert_eq!(times("DDPM", "", 4), [750.0, 500.0, 250.0, 0.0, 0.0]);
    // set_timesteps(4) of diffusers, and the clean image.
    let linspace = [999.0, 749.0, 500.0, 250.0, 0.0];
    assert_eq!(times("DPMSolverMultistep", "", 4), linspace);
    let leading = r#", "timestep_spacing": "leading""#;
    assert_eq!(
        times("UniPCMultistep", leading, 4),
        [800.0, 600.0, 400.0, 200.0, 0.0]
    );
    assert_eq!(
        times("UniPCMultistep", TRAILING, 4),
        [999.0, 749.0, 499.0, 249.0, 0.0]
    );
    assert_eq!(
        times("EulerDiscrete", "", 4),
        [999.0, 666.0, 333.0, 0.0, 0.0]
    );

    // Down to the first timestep's noise, which then is not the clean image.
    let end = |text: &str| *parsed(text).levels(5).unwrap().last().unwrap();
    let sigma_min =
        r#"{"_class_name": "DPMSolverMultistepScheduler", "final_sigmas_type": "sigma_min"}"#;
    assert!(end(sigma_min).sigma > 0.0);
    let pndm = parsed(r#"{"_class_name": "PNDMScheduler"}"#)
        .levels(5)
        .unwrap();
    assert!(pndm.len() == 5 && pndm[4].sigma > 0.0, "{pndm:?}");
    let one = parsed(r#"{"_class_name": "PNDMScheduler"}"#)
        .levels(1)
        .unwrap();
    assert_eq!(one.len(), 2);
    assert_eq!(
        end(r#"{"_class_name": "DDIMScheduler"}"#),
        NoiseLevel::CLEAN
    );
}

#[test]
fn what_is_not_heeded_is_said() {
    for (text, word) in [
        (r#"{"steps_offset": 1}"#, "steps_offset = 1"),
        (
            r#"{"_class_name": "DPMSolverMultistepScheduler", "solver_type": "heun"}"#,
            "solver_type",
        ),
        (
            r#"{"_class_name": "DPMSolverMultistepScheduler", "algorithm_type": "dpmsolver"}"#,
            "dpmsolver++",
        ),
        (
            r#"{"_class_name": "EulerDiscreteScheduler", "use_beta_sigmas": true}"#,
            "use_beta_sigmas",
        ),
        (
            r#"{"_class_name": "DEISMultistepScheduler"}"#,
            "ddim takes its place",
        ),
        (r#"{"rescale_betas_zero_snr": true}"#, "pure noise"),
        (
            r#"{"_class_name": "DDIMScheduler"}"#,
            "use_clipped_model_output",
        ),
        (
            r#"{"_class_name": "LMSDiscreteScheduler"}"#,
            "whole timesteps",
        ),
        (
            r#"{"_class_name": "PNDMScheduler", "prediction_type": "v_prediction"}"#,
            "velocities",
        ),
    ] {
        let notes = parsed(text).notes.join("; ");
        assert!(notes.contains(word), "{text}: {notes}");
    }
}
