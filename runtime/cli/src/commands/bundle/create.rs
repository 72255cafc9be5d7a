//! `cairn bundle create`: a bundle file out of any payload.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use cairn_bundle::{
    Bundle, Class, CreationTimestamp, Draft, Eid, Identity, SealedTo, SealingTarget, SenderClock, SignedCard,
    plain, seal, sign,
};
use cairn_node::core::SeedRng;
use cairn_node::identity_file;
use clap::Args;
use serde::Serialize;
use zeroize::Zeroizing;

use super::fields::DTN_TO_CAIRN_S;
use super::files;
use crate::commands::card;
use crate::context::Context;
use crate::failure::Failure;
use crate::out;

/// Seconds from 1970, where system clocks begin, to 2000, where bundle times begin.
const UNIX_TO_DTN_S: u64 = 946_684_800;

/// What to make.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("recipient").required(true).args(["card", "to"]))]
pub(crate) struct CreateArgs {
    /// File with the payload; `-` for stdin
    payload: PathBuf,
    /// Where to write the bundle, must not exist; `-` for stdout
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// Card of the recipient: a file, `-` for stdin, or the `CAIRN:` text itself. The bundle is sealed to it
    #[arg(long, value_name = "FILE|-|TEXT")]
    card: Option<String>,
    /// Any endpoint, such as dtn://relief/~alerts or ipn:7.1; with --sign or --plain only
    #[arg(long, value_name = "ENDPOINT")]
    to: Option<String>,
    /// Service of the recipient that it is for, with --card
    #[arg(long, default_value = "inbox")]
    service: String,
    /// Service of this node that it comes from
    #[arg(long, default_value = "file")]
    from_service: String,
    /// Signed, and readable for everybody
    #[arg(long, conflicts_with = "plain")]
    sign: bool,
    /// Readable for everybody and signed by nobody
    #[arg(long)]
    plain: bool,
    /// How long it is of use: a number with s, min, h or d
    #[arg(long, default_value = "30d", value_parser = lifetime_ms)]
    lifetime: u64,
    /// Nodes that it may pass: 1 to 255
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u8).range(1..))]
    hops: u8,
    /// Leave out the creation time, as a node without a clock does: its age alone counts
    #[arg(long)]
    no_clock: bool,
    /// Allow that it is cut into fragments on the way
    #[arg(long)]
    may_fragment: bool,
}

/// What was made, for machines.
#[derive(Debug, Serialize)]
struct Made {
    file: String,
    bytes: usize,
    content_id: String,
    destination: String,
    sealed: bool,
    signed: bool,
    /// Which kind of key it is sealed to: `prekey` or `long-term`.
    sealed_to: Option<&'static str>,
    /// Why that is the long-term key, which is never erased.
    fallback: Option<String>,
}

/// How a bundle is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protection {
    Sealed(SealingTarget),
    Signed,
    Plain,
}

pub(super) fn run(context: &Context, args: &CreateArgs) -> Result<(), Failure> {
    if args.card.as_deref() == Some("-") && files::is_stdio(&args.payload) {
        return Err(Failure::new(
            "card and payload cannot both come from stdin",
            "name a file for one of them",
        ));
    }
    if files::is_stdio(&args.out) && context.json() {
        return Err(Failure::new("bundle and JSON cannot both go to stdout", "name a file with --out"));
    }
    let me = identity(context)?;
    let payload = Zeroizing::new(files::read(&args.payload)?);
    let (bundle, protection) = make(args, &me, &payload)?;
    let bytes = bundle.encode();
    files::write_new(&args.out, &bytes)?;
    let made = Made::of(files::name(&args.out), bytes.len(), &bundle, protection);
    if context.json() {
        return out::json(&made);
    }
    out::say(&out::clean(&made.to_text()));
    Ok(())
}

impl Made {
    fn of(file: String, bytes: usize, bundle: &Bundle, protection: Protection) -> Self {
        let target = match protection {
            Protection::Sealed(target) => Some(target),
            Protection::Signed | Protection::Plain => None,
        };
        Self {
            file,
            bytes,
            content_id: bundle.content_id().to_string(),
            destination: bundle.destination().to_string(),
            sealed: target.is_some(),
            signed: protection != Protection::Plain,
            sealed_to: target.map(|target| match target.kind {
                SealedTo::Prekey => "prekey",
                SealedTo::LongTerm => "long-term",
            }),
            fallback: target.and_then(|target| target.fallback).map(|reason| reason.to_string()),
        }
    }

    fn to_text(&self) -> String {
        let Self { bytes, destination, .. } = self;
        let protection = match (self.sealed_to, &self.fallback) {
            (Some("prekey"), _) => "signed, and sealed to a prekey that its owner will erase".to_owned(),
            (Some(_), Some(reason)) => {
                format!("signed, and sealed to the recipient's long-term key: {reason}")
            }
            (Some(_), None) => "signed, and sealed to the recipient's long-term key".to_owned(),
            (None, _) if self.signed => "signed, and readable for everybody".to_owned(),
            (None, _) => "signed by nobody, and readable for everybody".to_owned(),
        };
        format!("{bytes} bytes for {destination}, {protection}")
    }
}

fn identity(context: &Context) -> Result<Identity, Failure> {
    identity_file::load(context.home())?.ok_or_else(|| {
        Failure::new(
            format!("there is no identity in {}", context.home().display()),
            "make one with `cairn id`, or name the data directory of a node with --home",
        )
    })
}

fn make(args: &CreateArgs, me: &Identity, payload: &[u8]) -> Result<(Bundle, Protection), Failure> {
    let impossible = |error: &dyn core::fmt::Display| {
        Failure::new(format!("cannot make this bundle: {error}"), "see `cairn bundle create --help`")
    };
    let card = args.card.as_deref().map(read_card).transpose()?;
    let destination = match (&card, &args.to) {
        (Some(card), _) => Eid::node(&card.card().node, &args.service),
        (None, to) => to.as_deref().unwrap_or_default().parse(),
    };
    let mut random = Zeroizing::new([0_u8; 40]);
    getrandom::fill(random.as_mut_slice())
        .map_err(|_| Failure::new("the system gives no randomness", "try again on another machine"))?;
    let [seed @ .., _, _, _, _, _, _, _, _] = &*random;
    let [.., a, b, c, d, e, f, g, h] = &*random;
    let draft = Draft {
        destination: destination.map_err(|error| impossible(&error))?,
        source_service: &args.from_service,
        creation: CreationTimestamp {
            time_ms: if args.no_clock { 0 } else { now_ms()? },
            // Random, as a node's own: no two bundles of one source and time share it.
            seq: u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]) >> 1,
        },
        lifetime_ms: args.lifetime,
        hop_limit: args.hops,
        class: Class::Normal,
        age_ms: Some(0),
        may_fragment: args.may_fragment,
        admin_record: false,
        payload,
    };
    let made = match &card {
        _ if args.plain => plain(&draft, me).map(|bundle| (bundle, Protection::Plain)),
        _ if args.sign => sign(&draft, me).map(|bundle| (bundle, Protection::Signed)),
        Some(card) => {
            let clock = SenderClock { wall_s: wall_s(args), heard_s: None };
            let target = card.card().sealing_target(&clock);
            let sealed = seal(&draft, me, &target.key, &mut SeedRng::new(seed));
            sealed.map(|bundle| (bundle, Protection::Sealed(target)))
        }
        None => {
            return Err(Failure::new(
                "a bundle for an endpoint without a card cannot be sealed",
                "give the recipient's card with --card, or ask for --sign or --plain",
            ));
        }
    };
    made.map_err(|error| impossible(&error))
}

/// Seconds since 2020, as cards have them, if the clock is to be used at all.
fn wall_s(args: &CreateArgs) -> Option<u64> {
    let dtn_ms = if args.no_clock { None } else { now_ms().ok() };
    dtn_ms.and_then(|ms| (ms / 1000).checked_sub(DTN_TO_CAIRN_S))
}

fn read_card(card: &str) -> Result<SignedCard, Failure> {
    let text = card::read(card)?;
    SignedCard::from_text(&text).map_err(|error| {
        Failure::new(format!("this is no card: {error}"), "name a file that `cairn card export` wrote")
    })
}

fn now_ms() -> Result<u64, Failure> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    ms.checked_sub(UNIX_TO_DTN_S * 1000).ok_or_else(|| {
        Failure::new("the clock of this machine stands before 2000", "set it, or use --no-clock")
    })
}

/// Reads `90s`, `15min`, `12h` or `7d`.
fn lifetime_ms(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit_ms = match unit {
        "s" => 1000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err("write a number with s, min, h or d, such as 12h".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "write a whole number before the unit".to_owned())?;
    number
        .checked_mul(unit_ms)
        .filter(|ms| *ms > 0)
        .ok_or_else(|| "that is too long, or no time at all".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_is_a_number_with_a_unit() {
        assert_eq!(lifetime_ms("90s"), Ok(90_000));
        assert_eq!(lifetime_ms("15min"), Ok(900_000));
        assert_eq!(lifetime_ms("7d"), Ok(604_800_000));
        for wrong in
            ["", "7", "d", "-1h", "1.5h", "0s", "7 d", "1w", "99999999999999999999d", "18446744073709551615d"]
        {
            assert!(lifetime_ms(wrong).is_err(), "{wrong}");
        }
    }
}
