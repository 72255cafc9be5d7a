//! `cairn card`: contact cards, which make strangers reachable.

use std::fs;
use std::io::{self, Read};
use std::path::PathBuf;

use cairn_node::control::api::{Request, Response};
use clap::{Args, Subcommand};
use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

use crate::context::Context;
use crate::failure::Failure;
use crate::{out, render};

/// A card is a few hundred bytes; nobody hands over more than this.
const CARD_BYTES_MAX: u64 = 64 * 1024;

/// How the text of a card begins.
const PREFIX: &str = "CAIRN:";

/// Hand out and take in contact cards
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  cairn card export > depot.card
  cairn card import depot.card
  cairn card qr")]
pub(crate) enum CardCommand {
    /// Print this node's own signed card
    #[command(after_help = "Examples:\n  cairn card export > depot.card")]
    Export,
    /// Take in a card that somebody handed over; the newest one of a node wins
    #[command(
        after_help = "Examples:\n  cairn card import depot.card\n  cat depot.card | cairn card import -"
    )]
    Import(ImportArgs),
    /// List everybody whose card is known
    #[command(after_help = "Examples:\n  cairn card list\n  cairn card list --json")]
    List,
    /// Show this node's card as a QR code in the terminal
    #[command(
        after_help = "Examples:\n  cairn card qr\n  cairn card qr --light    on a terminal with a light background"
    )]
    Qr(QrArgs),
}

/// What to import.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// File with the card, `-` for stdin, or the `CAIRN:` text itself
    #[arg(value_name = "FILE|-|TEXT")]
    card: String,
}

/// How to show the code.
#[derive(Debug, Args)]
pub(crate) struct QrArgs {
    /// For a terminal with a light background
    #[arg(long)]
    light: bool,
}

pub(crate) fn run(context: &Context, command: CardCommand) -> Result<(), Failure> {
    match command {
        CardCommand::Export => context.tell(&Request::CardExport),
        CardCommand::Import(args) => {
            let card = read(&args.card)?;
            context.order(&Request::CardImport { card }, "the card is known now")
        }
        CardCommand::List => context.tell(&Request::CardList),
        CardCommand::Qr(args) => qr(context, &args),
    }
}

pub(crate) fn read(card: &str) -> Result<String, Failure> {
    read_text("card", card, PREFIX, "name a file that `cairn card export` wrote")
}

/// A text that is given itself, as a file, or with `-` on stdin, where nobody else can look over the shoulder.
pub(crate) fn read_text(what: &str, card: &str, prefix: &str, hint: &str) -> Result<String, Failure> {
    // Cards are written in capitals, which a QR code packs tighter.
    if card.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix)) {
        return Ok(card.to_owned());
    }
    let failed = |error: io::Error| Failure::new(format!("cannot read the {what} {card}: {error}"), hint);
    let mut text = String::new();
    if card == "-" {
        io::stdin().take(CARD_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    } else {
        fs::File::open(PathBuf::from(card))
            .and_then(|file| file.take(CARD_BYTES_MAX).read_to_string(&mut text))
            .map_err(failed)?;
    }
    Ok(text.trim().to_owned())
}

fn qr(context: &Context, args: &QrArgs) -> Result<(), Failure> {
    let response = context.ask(&Request::CardExport)?;
    let Response::Text { text } = &response else { return Err(Failure::unexpected(&response)) };
    if context.json() {
        return context.show(&response, render::response);
    }
    out::text(&draw(text, args.light)?)
}

/// Two rows of modules per line of text, dark on light whatever the terminal's colours are.
fn draw(text: &str, light: bool) -> Result<String, Failure> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).map_err(|_| {
        Failure::new("the card does not fit a QR code", "hand it over as a file: cairn card export > FILE")
    })?;
    let (dark, bright) =
        if light { (Dense1x2::Dark, Dense1x2::Light) } else { (Dense1x2::Light, Dense1x2::Dark) };
    Ok(code.render::<Dense1x2>().dark_color(dark).light_color(bright).build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_becomes_a_square_of_half_blocks() {
        let drawn = draw("cairn:abc", false).unwrap();
        let lines: Vec<&str> = drawn.lines().collect();
        let width = lines[0].chars().count();
        // 21 modules of the smallest code and 4 of quiet zone at each side.
        assert_eq!((width, lines.len()), (29, 15));
        assert!(drawn.chars().all(|c| " ▀▄█\n".contains(c)), "{drawn}");
        assert_ne!(draw("cairn:abc", true).unwrap(), drawn);
        assert!(draw(&"x".repeat(5000), false).is_err());
    }

    #[test]
    fn a_card_can_be_given_as_text() {
        assert_eq!(read("CAIRN:ABC").unwrap(), "CAIRN:ABC");
        assert_eq!(read("cairn:abc").unwrap(), "cairn:abc");
        assert!(read("/nowhere/card").is_err());
    }
}
