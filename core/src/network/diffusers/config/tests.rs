//! Tests of reading and writing configurations.

use super::*;

#[test]
fn an_empty_config_is_diffusers_own_default() {
    let config = UNet2DConfig::parse("{}").unwrap();
    assert_eq!(config.block_out_channels, [224, 448, 672, 896]);
    assert_eq!(config.attention_head_dim, Some(8));
    assert_eq!(config.embedding_dim(), 896);
    assert_eq!(config.size_multiple(), 8);
}

#[test]
fn what_is_written_is_read_again() {
    let text = r#"{"sample_size": [16, 24], "time_embedding_type": "learned",
        "num_train_timesteps": 50, "attention_head_dim": null, "mid_block_type": null,
        "down_block_types": ["UNetResAttnDownBlock2D", "ResnetDownsampleBlock2D"],
        "up_block_types": ["ResnetUpsampleBlock2D", "AttnUpBlock2D"],
        "block_out_channels": [8, 16], "norm_num_groups": 4, "num_class_embeds": 3,
        "resnet_time_scale_shift": "scale_shift", "downsample_type": "resnet"}"#;
    let config = UNet2DConfig::parse(text).unwrap();
    assert_eq!(config.down_blocks, [Block::Attention, Block::Resnet]);
    assert_eq!(config.attention_head_dim, None);
    assert!(!config.mid_block);
    let again = UNet2DConfig::parse(&config.to_json().to_string()).unwrap();
    assert_eq!(again, config);
}

#[test]
fn what_is_not_supported_is_named() {
    for (text, words) in [
        (r#"{"act_fn": "mish"}"#, ["act_fn", "silu", "mish"]),
        (
            r#"{"down_block_types": ["SkipDownBlock2D"]}"#,
            ["down_block_types", "AttnDownBlock2D", "SkipDownBlock2D"],
        ),
        (
            r#"{"_class_name": "UNet2DConditionModel"}"#,
            ["_class_name", "UNet2DModel", "UNet2DConditionModel"],
        ),
        (
            r#"{"downsample_padding": 2}"#,
            ["downsample_padding", "0 or 1", "2"],
        ),
        (
            r#"{"norm_num_groups": 31}"#,
            ["norm_num_groups", "divisor", "31"],
        ),
        (
            r#"{"resnet_time_scale_shift": "spatial"}"#,
            ["resnet_time_scale_shift", "scale_shift", "spatial"],
        ),
        (
            r#"{"layers_per_block": "two"}"#,
            ["layers_per_block", "usize", "two"],
        ),
        (r#"{"fancy": 1}"#, ["fancy", "1", "key"]),
        (
            r#"{"block_out_channels": [99999999999, 4, 4, 4]}"#,
            ["block_out_channels", "8192", "99999999999"],
        ),
        (
            r#"{"time_embedding_type": "learned"}"#,
            ["num_train_timesteps", "learned", "None"],
        ),
        (r#"[1]"#, ["JSON object", "config", "[1]"]),
    ] {
        let error = UNet2DConfig::parse(text).expect_err(text);
        for word in words {
            assert!(error.to_string().contains(word), "{word} not in {error}");
        }
        assert!(error.hint().is_some());
    }
}
