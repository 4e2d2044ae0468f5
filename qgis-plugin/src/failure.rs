//! The one error of the native face: what went wrong, what to do about it, and the exit code it means.

use std::fmt;

use crate::wording;

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Everything asked for was done.
    Ok = 0,
    /// The work failed although the request was sound (disk full, device lost).
    Failed = 1,
    /// The request or its input cannot be worked with.
    Usage = 2,
    /// Stopped by Ctrl-C or a termination signal.
    Interrupted = 130,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        std::process::ExitCode::from(exit as u8)
    }
}

/// An error that is ready to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The exit code it leads to.
    pub exit: Exit,
    /// What went wrong, as `what: expected .., got ..` where there is such a pair.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// The native face's result.
pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// Bad usage or input (exit 2).
    pub fn usage(message: impl Into<String>) -> Self {
        Failure {
            exit: Exit::Usage,
            message: message.into(),
            hint: None,
        }
    }

    /// Bad usage or input, with what was expected and what was found (exit 2).
    pub fn mismatch(
        what: impl fmt::Display,
        expected: impl fmt::Display,
        got: impl fmt::Display,
    ) -> Self {
        Failure::usage(format!("{what}: expected {expected}, got {got}"))
    }

    /// The work failed (exit 1).
    pub fn failed(message: impl Into<String>) -> Self {
        Failure {
            exit: Exit::Failed,
            message: message.into(),
            hint: None,
        }
    }

    /// The user asked to stop (exit 130).
    pub fn interrupted() -> Self {
        Failure {
            exit: Exit::Interrupted,
            message: "interrupted".into(),
            hint: None,
        }
    }

    /// The same failure with a hint.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<unclouded_core::Error> for Failure {
    /// What a user can mend is exit 2; a face's own error that travelled through the core in
    /// `Error::Io` comes back as it went in.
    fn from(error: unclouded_core::Error) -> Self {
        use unclouded_core::Error;
        let hint = error.hint().map(wording::hint);
        let message = match &error {
            Error::Setting {
                key, expected, got, ..
            } => {
                format!("{}: expected {expected}, got {got}", wording::setting(*key))
            }
            other => other.to_string(),
        };
        let exit = match error {
            Error::Interrupted => return Failure::interrupted(),
            Error::Io(inner) => match inner.downcast::<Failure>() {
                Ok(failure) => return *failure,
                Err(_) => Exit::Failed,
            },
            Error::Device(_) => Exit::Failed,
            _ => Exit::Usage,
        };
        Failure {
            exit,
            message,
            hint,
        }
    }
}

impl From<Failure> for unclouded_core::Error {
    fn from(failure: Failure) -> Self {
        unclouded_core::Error::Io(Box::new(failure))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_survives_the_way_through_the_core() {
        let failure = Failure::mismatch("mask size", "3 x 4", "4 x 3").hint("reproject it");
        let through: Failure = unclouded_core::Error::from(failure.clone()).into();
        assert_eq!(through, failure);
        assert_eq!(through.message, "mask size: expected 3 x 4, got 4 x 3");
    }

    /// What the core only names is said in this face's own words.
    #[test]
    fn the_core_s_errors_are_worded_as_the_command_line_is() {
        use unclouded_core::diffusion::sampler::Sampler;
        use unclouded_core::restore::Wish;
        let unknown = "magic".parse::<Sampler>().expect_err("no sampler");
        let failure = Failure::from(unknown);
        assert!(
            failure.message.starts_with("--sampler: expected one of "),
            "{failure}"
        );
        let wish = Wish {
            steps: Some(0),
            ..Wish::default()
        };
        let failure = Failure::from(wish.check().expect_err("no steps"));
        assert_eq!(failure.message, "--steps: expected 1 to 1000, got 0");
        assert_eq!(
            failure.hint.as_deref(),
            Some("the nearest it may be: --steps 1")
        );
    }

    #[test]
    fn interruption_is_130() {
        assert_eq!(
            Failure::from(unclouded_core::Error::Interrupted).exit as u8,
            130
        );
    }
}
