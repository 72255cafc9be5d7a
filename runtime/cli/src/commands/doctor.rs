//! `cairn doctor`: looks at everything that tends to be wrong, and says what to do about it.

mod machine;
mod node;

use clap::Args;
use serde::Serialize;

use crate::context::Context;
use crate::failure::Failure;
use crate::out;
use crate::progress::Progress;

/// Check that everything is in order
///
/// Looks at the data directory, the key file, the settings, the node and its links, the store (when the node is
/// stopped), disk, memory, power, clock and engines. Exit code 1 if a check fails; warnings do not count.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cairn doctor
  cairn doctor --json
  cairn doctor --set-aside-store")]
pub(crate) struct DoctorArgs {
    /// Move a damaged store aside, so that the next start begins with an empty one
    ///
    /// The damaged files are kept beside it. What this node has signed stays binding for its peers: let it meet
    /// them before it grants, promises or accepts anything again, or begin with a new data directory and identity.
    #[arg(long)]
    set_aside_store: bool,
}

/// How one check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// In order.
    Ok,
    /// Works, but a person may want to know.
    Warn,
    /// Does not work.
    Fail,
}

/// One line of the report.
#[derive(Debug, Serialize)]
pub(crate) struct Check {
    name: &'static str,
    verdict: Verdict,
    text: String,
    hint: Option<String>,
}

impl Check {
    pub(crate) fn ok(name: &'static str, text: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Ok, text: text.into(), hint: None }
    }

    pub(crate) fn warn(name: &'static str, text: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Warn, text: text.into(), hint: Some(hint.into()) }
    }

    pub(crate) fn fail(name: &'static str, text: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Fail, text: text.into(), hint: Some(hint.into()) }
    }

    fn line(&self) -> String {
        let verdict = match self.verdict {
            Verdict::Ok => "ok  ",
            Verdict::Warn => "warn",
            Verdict::Fail => "FAIL",
        };
        let hint =
            self.hint.as_ref().map(|hint| format!("\n                  hint: {hint}")).unwrap_or_default();
        format!("{verdict}  {:<10}  {}{hint}\n", self.name, self.text)
    }
}

pub(crate) fn run(context: &Context, args: &DoctorArgs) -> Result<(), Failure> {
    if args.set_aside_store {
        let aside = node::set_store_aside(context.home())?;
        return out::text(&format!(
            "the store is kept as {}; the next start begins with an empty one\n",
            aside.display()
        ));
    }
    let checks = {
        let _progress = Progress::start("looking at everything");
        let mut checks = node::checks(context.home());
        checks.extend(machine::checks(context.home()));
        checks
    };
    if context.json() {
        out::json(&checks)?;
    } else {
        out::text(&out::clean(&checks.iter().map(Check::line).collect::<String>()))?;
    }
    if checks.iter().any(|check| check.verdict == Verdict::Fail) { Err(Failure::Said) } else { Ok(()) }
}
