//! Constants, ranges and names of the schedules; whole arrays are compared in the tests crate.

use super::spacing::timestep_of;
use super::*;

fn named(json: &str) -> Schedule {
    serde_json::from_str(json).expect(json)
}

fn close(got: f64, expected: f64) {
    assert!(
        (got / expected - 1.0).abs() < 2e-6,
        "expected {expected}, got {got}"
    );
}

#[test]
fn constants_of_the_reference_table() {
    for (name, at_499, at_999) in [
        ("linear", 0.0785872, 4.03583e-5),
        ("scaled-linear", 0.2776697, 0.00466010),
        ("cosine", 0.4938436, 2.42877e-9),
        ("sigmoid-beta", 0.3019311, 3.96818e-5),
        ("sigmoid-alpha-bar", 0.5, 3.00279e-7),
    ] {
        let bars = named(&format!(r#"{{"name": "{name}"}}"#)).alphas_cumprod();
        assert_eq!(bars.len(), 1000, "{name}");
        close(bars[499], at_499);
        close(bars[999], at_999);
    }
    let expected = [
        80.0, 42.41519, 21.10868, 9.7232, 4.06612, 1.50174, 0.46998, 0.11664, 0.02044, 0.002,
    ];
    for (got, expected) in karras_sigmas(10, 0.002, 80.0, 7.0)
        .into_iter()
        .zip(expected)
    {
        assert!(
            (got - expected).abs() < 5e-6,
            "expected {expected}, got {got}"
        );
    }
}

#[test]
fn timesteps_of_the_reference() {
    assert_eq!(timesteps(1000, 10, Spacing::Leading)[..2], [900, 800]);
    assert_eq!(timesteps(1000, 10, Spacing::Leading)[9], 0);
    assert_eq!(timesteps(1000, 10, Spacing::Linspace)[..2], [999, 888]);
    assert_eq!(timesteps(1000, 10, Spacing::Linspace)[9], 0);
    assert_eq!(timesteps(1000, 10, Spacing::Trailing)[..2], [999, 899]);
    assert_eq!(timesteps(1000, 10, Spacing::Trailing)[9], 99);
}

#[test]
fn levels_fall_to_the_clean_image() {
    for json in [
        r#"{"name": "linear"}"#,
        r#"{"name": "cosine", "timesteps": 100}"#,
        r#"{"name": "sigmoid-alpha-bar", "timesteps": 50}"#,
        r#"{"name": "karras"}"#,
    ] {
        let schedule = named(json);
        for spacing in [
            Spacing::Leading,
            Spacing::Linspace,
            Spacing::Trailing,
            Spacing::Karras,
        ] {
            for steps in [1, 2, 7, 50] {
                let levels = schedule.levels(steps, spacing).expect(json);
                assert_eq!(levels.len(), steps + 1);
                assert_eq!(levels[steps], NoiseLevel::CLEAN);
                for pair in levels.windows(2) {
                    assert!(
                        pair[0].relative_sigma() > pair[1].relative_sigma(),
                        "{json}"
                    );
                }
                let vp = |l: &NoiseLevel| (l.alpha.hypot(l.sigma) - 1.0).abs() < 1e-12;
                assert!(schedule.timesteps().is_none() || levels.iter().all(vp));
            }
        }
    }
}

#[test]
fn karras_spacing_lands_on_its_own_timesteps() {
    let schedule = named(r#"{"name": "scaled-linear"}"#);
    let all = schedule.training_levels();
    let sigmas: Vec<f64> = all.iter().map(NoiseLevel::relative_sigma).collect();
    for t in [0, 1, 500, 998, 999] {
        assert!((timestep_of(sigmas[t], &sigmas) - t as f64).abs() < 1e-9);
    }
    let levels = schedule.levels(9, Spacing::Karras).expect("valid");
    assert!((levels[0].sigma - all[999].sigma).abs() < 1e-12);
    assert!((levels[8].sigma - all[0].sigma).abs() < 1e-12);
    assert!((levels[0].timestep - 999.0).abs() < 1e-9 && levels[8].timestep < 1e-9);
}

#[test]
fn cards_name_schedules_in_kebab_case() {
    let text = serde_json::to_string(&named(r#"{"name": "karras", "rho": 5}"#)).expect("json");
    assert_eq!(
        text,
        r#"{"name":"karras","sigma_min":0.002,"sigma_max":80.0,"rho":5.0}"#
    );
    assert!(serde_json::from_str::<Schedule>(r#"{"name": "linear", "rho": 5}"#).is_err());
    assert!(serde_json::from_str::<Schedule>(r#"{"name": "quadratic"}"#).is_err());
}

#[test]
fn hostile_numbers_are_refused() {
    for (json, what) in [
        (r#"{"name": "cosine", "timesteps": 0}"#, "timesteps"),
        (
            r#"{"name": "linear", "timesteps": 18446744073709551615}"#,
            "timesteps",
        ),
        (
            r#"{"name": "linear", "beta_end": 1.5}"#,
            "beta_start, beta_end",
        ),
        (
            r#"{"name": "karras", "sigma_min": -1}"#,
            "sigma_min, sigma_max",
        ),
        (r#"{"name": "karras", "rho": 0}"#, "rho"),
    ] {
        match named(json).levels(4, Spacing::Trailing) {
            Err(Error::Setting { key, .. }) => assert_eq!(key.name(), what),
            other => panic!("{json}: {other:?}"),
        }
    }
    for steps in [0, 1001] {
        let result = named(r#"{"name": "cosine"}"#).levels(steps, Spacing::Leading);
        assert!(matches!(
            result,
            Err(Error::Setting {
                key: Key::Steps,
                ..
            })
        ));
    }
}

#[test]
fn schedules_of_score_models() {
    // NCSN: each sigma the same multiple of the next.
    let levels = named(r#"{"name": "geometric", "timesteps": 10, "sigma_max": 90}"#)
        .levels(10, Spacing::Trailing)
        .expect("valid");
    close(levels[0].sigma, 90.0);
    close(levels[9].sigma, 0.01);
    let ratio = 9000f64.powf(1.0 / 9.0);
    for pair in levels[..10].windows(2) {
        close(pair[0].sigma / pair[1].sigma, ratio);
        assert_eq!(pair[0].alpha, 1.0);
    }
    let vp = named(r#"{"name": "vp-sde"}"#).training_levels();
    let sub = named(r#"{"name": "sub-vp-sde"}"#).training_levels();
    assert_eq!((vp.len(), sub[999].timestep), (1000, 999.0));
    for (vp, sub) in vp.iter().zip(&sub) {
        close(vp.alpha, sub.alpha);
        assert!((vp.sigma * vp.sigma - sub.sigma).abs() < 1e-12);
    }
    // Song et al. 2021b, eq. 29 at t = 1: alpha² = exp(-(20 - 0.1) / 2 - 0.1).
    close(vp[999].alpha.powi(2), (-10.05f64).exp());
}

#[test]
fn karras_spacing_keeps_what_a_schedule_keeps() {
    for (json, kept) in [
        (r#"{"name": "vp-sde"}"#, "alpha² + sigma²"),
        (r#"{"name": "sub-vp-sde"}"#, "alpha² + sigma"),
        (r#"{"name": "geometric"}"#, "alpha"),
    ] {
        for level in &named(json).levels(9, Spacing::Karras).expect("valid")[..9] {
            let NoiseLevel { alpha, sigma, .. } = *level;
            close(
                match kept {
                    "alpha" => alpha,
                    "alpha² + sigma" => alpha * alpha + sigma,
                    _ => alpha * alpha + sigma * sigma,
                },
                1.0,
            );
        }
    }
}

#[test]
fn zero_terminal_snr_ends_at_pure_noise() {
    for base in ["linear", "scaled-linear", "cosine"] {
        let schedule = named(&format!(
            r#"{{"name": "zero-terminal-snr", "base": "{base}"}}"#
        ));
        let plain = named(&format!(r#"{{"name": "{base}"}}"#));
        let bars = schedule.alphas_cumprod();
        close(bars[0], plain.alphas_cumprod()[0]);
        assert!(bars[999].abs() < 1e-15);
        let first = schedule.levels(10, Spacing::Trailing).expect("valid")[0];
        assert!(first.alpha > 0.0 && first.alpha < 3e-4 && first.relative_sigma().is_finite());
    }
    assert_eq!(rescale_zero_terminal_snr(&[0.1]), [0.1]);
}
