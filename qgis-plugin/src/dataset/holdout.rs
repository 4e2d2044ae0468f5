//! Which tiles are for training, which for validation and which are never opened.

use serde::{Deserialize, Serialize};

/// What a tile may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Gradient steps.
    Train,
    /// Validation loss and picture grid only.
    Validate,
    /// Kept for judging: not read at all.
    Excluded,
}

/// The holdout rule, on the index `N` at the end of a file name `NAME_N.ext`.
///
/// `N % validate_every` decides: `validate_remainder` is for validation, each of
/// `exclude_remainders` is left alone, the rest is for training. Where the name does not end
/// in digits, `N` is a hash (FNV-1a) of the name, so that the split stays the same from run
/// to run. Folders do not count: two tiles of the same file name have the same role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holdout {
    /// The modulus, at least 2.
    pub validate_every: u64,
    /// The remainder kept for validation.
    pub validate_remainder: u64,
    /// Remainders that are neither trained nor validated on.
    pub exclude_remainders: Vec<u64>,
}

impl Holdout {
    /// The role of a file, from its name or path.
    pub fn role(&self, name: &str) -> Role {
        let remainder = index_remainder(name, self.validate_every.max(1));
        if self.exclude_remainders.contains(&remainder) {
            Role::Excluded
        } else if remainder == self.validate_remainder {
            Role::Validate
        } else {
            Role::Train
        }
    }
}

/// `N % modulus` without overflow, however many digits a name has.
fn index_remainder(name: &str, modulus: u64) -> u64 {
    let file = name.rsplit(['/', '\\']).next().unwrap_or(name);
    let stem = match file.rfind('.') {
        Some(dot) if dot > 0 => &file[..dot],
        _ => file,
    };
    let head = stem.trim_end_matches(|c: char| c.is_ascii_digit());
    let digits = &stem[head.len()..];
    if digits.is_empty() {
        let hash = stem.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        return hash % modulus;
    }
    let modulus = u128::from(modulus);
    let remainder = digits.bytes().fold(0u128, |rest, digit| {
        (rest * 10 + u128::from(digit - b'0')) % modulus
    });
    remainder as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eurosat() -> Holdout {
        Holdout {
            validate_every: 10,
            validate_remainder: 1,
            exclude_remainders: vec![0],
        }
    }

    #[test]
    fn nothing_leaks_whatever_the_name() {
        let rule = eurosat();
        for class in ["Forest", "a_7", "x.y", "été", "9", ""] {
            for n in 0..500u64 {
                for name in [
                    format!("{class}_{n}.jpg"),
                    format!("deep/er/{class}_{n}.tif"),
                    format!("c:\\tiles\\{class}_{n}.PNG"),
                    format!("{class}_0000{n}.jpg"),
                ] {
                    let want = match n % 10 {
                        0 => Role::Excluded,
                        1 => Role::Validate,
                        _ => Role::Train,
                    };
                    assert_eq!(rule.role(&name), want, "{name}");
                }
            }
        }
    }

    #[test]
    fn endless_digits_do_not_overflow() {
        let rule = eurosat();
        assert_eq!(
            rule.role(&format!("t_{}1.png", "9".repeat(60))),
            Role::Validate
        );
        assert_eq!(
            rule.role(&format!("t_{}0.png", "9".repeat(60))),
            Role::Excluded
        );
    }

    #[test]
    fn names_without_index_have_a_stable_role_and_all_roles_occur() {
        let rule = eurosat();
        let roles: Vec<Role> = (0..200)
            .map(|i| rule.role(&format!("scene{i}x.tif")))
            .collect();
        for role in [Role::Train, Role::Validate, Role::Excluded] {
            assert!(roles.contains(&role));
        }
        assert_eq!(rule.role("a/scene.tif"), rule.role("b/scene.tif"));
    }
}
