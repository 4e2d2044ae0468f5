//! What values mean: classifications, black and white, and how far each kind grows.

use super::*;

#[test]
fn classes_grow_by_metres_and_values_are_taken_as_they_are() -> Result<()> {
    let bench = Bench::new();
    let dot = |name: &str, value: u8| {
        bench.raster(
            name,
            (WIDTH, HEIGHT),
            Some(SCENE),
            Some(UTM_43N),
            move |row, col| {
                if (row, col) == (30, 30) { value } else { 4 }
            },
        )
    };
    let (scl, plain) = (dot("scl.tif", 9), dot("plain.tif", 1));
    let request = |from, path: &PathBuf, growth| MaskRequest {
        from,
        growth,
        ..of(path.clone())
    };
    let scl_from = Some(MaskFrom::Scl);
    // Pixels of 10 m: discs of 4 and of 2 pixels.
    assert_eq!(
        bench.read(&request(scl_from, &scl, Growth::Usual))?.count(),
        49
    );
    assert_eq!(
        bench
            .read(&request(scl_from, &scl, Growth::Metres(20.0)))?
            .count(),
        13
    );
    assert_eq!(
        bench.read(&request(None, &plain, Growth::Usual))?.count(),
        1
    );
    assert_eq!(
        bench
            .read(&request(None, &plain, Growth::Metres(20.0)))?
            .count(),
        13
    );
    let far = request(None, &plain, Growth::Metres(10_010.0));
    refused(bench.read(&far), &["--dilate-m", "10000"]);
    for wrong in [-1.0, f64::NAN, f64::INFINITY] {
        refused(
            bench.read(&request(None, &plain, Growth::Metres(wrong))),
            &["--dilate-m"],
        );
    }
    Ok(())
}

#[test]
fn a_black_and_white_mask_needs_no_values() -> Result<()> {
    let bench = Bench::new();
    let mask = |name: &str, grey: u8| {
        bench.raster(
            name,
            (WIDTH, HEIGHT),
            Some(SCENE),
            Some(UTM_43N),
            move |row, col| match (row < 10, col < 10) {
                (true, _) => 255,
                (false, true) => grey,
                (false, false) => 0,
            },
        )
    };
    assert_eq!(bench.read(&of(mask("white.tif", 0)))?.count(), 10 * WIDTH);
    // A third value may mean anything.
    refused(bench.read(&of(mask("grey.tif", 128))), &["128", "255"]);
    // 1 is what it always was.
    assert_eq!(
        bench.read(&of(mask("one.tif", 1)))?.count(),
        10 * (HEIGHT - 10)
    );
    Ok(())
}

#[test]
fn classifications_are_read_by_their_rules() -> Result<()> {
    let bench = Bench::new();
    let half = [SCENE[0], 20.0, 0.0, SCENE[3], 0.0, -20.0];
    let scl = bench.raster(
        "SCL.tif",
        (WIDTH / 2, HEIGHT / 2),
        Some(half),
        Some(UTM_43N),
        |row, _| (row % 12) as u8,
    );
    let request = |from, path: &PathBuf, values: &[f64]| MaskRequest {
        from: Some(from),
        values: values.to_vec(),
        ..of(path.clone())
    };
    let mask = bench.read(&request(MaskFrom::Scl, &scl, &[]))?;
    let classes = |classes: &'static [usize]| {
        Mask::from_fn(HEIGHT, WIDTH, move |row, _| {
            classes.contains(&(row / 2 % 12))
        })
    };
    assert_eq!(mask, classes(&[3, 8, 9, 10]));
    assert_eq!(
        bench.read(&request(MaskFrom::Scl, &scl, &[11.0]))?,
        classes(&[11])
    );
    let qa = bench.raster(
        "QA.tif",
        (WIDTH, HEIGHT),
        Some(SCENE),
        Some(UTM_43N),
        |row, _| [21_824_u16, 22_280, 23_888, 1, 54_596][row % 5],
    );
    let mask = bench.read(&request(MaskFrom::QaPixel, &qa, &[]))?;
    let expected = Mask::from_fn(HEIGHT, WIDTH, |row, _| matches!(row % 5, 1 | 2 | 4));
    assert!(mask == expected);
    refused(
        bench.read(&request(MaskFrom::Scl, &qa, &[])),
        &["3 or 8 or 9 or 10", "21824"],
    );
    // A classification that knows no cloud is an answer; nodata alone, or another raster, is none.
    let plain = |name: &str, value: u16| {
        bench.raster(
            name,
            (WIDTH, HEIGHT),
            Some(SCENE),
            Some(UTM_43N),
            move |_, _| value,
        )
    };
    for (from, value, clear) in [
        (MaskFrom::Scl, 4, true),
        (MaskFrom::Scl, 0, false),
        (MaskFrom::QaPixel, 21_824, true),
        (MaskFrom::QaPixel, 1, false),
    ] {
        let path = plain(&format!("{}_{value}.tif", from.name()), value);
        let scene = bench.scene();
        let mask = MaskReader::prepare(&request(from, &path, &[]), &scene, &mut |_| ())?;
        assert_eq!(mask.is_clear(), clear, "{from:?} {value}");
        assert_eq!(mask.check_values().is_ok(), clear, "{from:?} {value}");
    }
    let without = MaskRequest {
        from: Some(MaskFrom::Scl),
        ..MaskRequest::default()
    };
    refused(bench.read(&without), &["SCL", "scene.tif"]);
    Ok(())
}
