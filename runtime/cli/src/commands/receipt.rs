//! `cairn receipt`: proof of work done and accepted, for anybody, without a network.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use cairn_ledger::{RECEIPT_BYTES_MAX, Receipt, ReceiptView};
use cairn_node::control::api::Request;
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::context::{Context, absolute};
use crate::failure::Failure;
use crate::{out, render};

/// Export receipts, verify them offline
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  cairn receipt export 4kq7wz 2 digits.receipt
  cairn receipt verify digits.receipt")]
pub(crate) enum ReceiptCommand {
    /// Write the portable receipt of an accepted result
    #[command(after_help = "Examples:\n  cairn receipt export 4kq7wz 2 digits.receipt")]
    Export(ExportArgs),
    /// Check a receipt with nothing but its bytes: no node, no network, no clock
    #[command(
        after_help = "Examples:\n  cairn receipt verify digits.receipt\n  cairn receipt verify - < digits.receipt"
    )]
    Verify(VerifyArgs),
}

/// Which receipt.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Job id, or its beginning of at least 6 characters
    job: String,
    /// The rung
    rung: u8,
    /// Where to write it; must not exist
    path: PathBuf,
}

/// What to check.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The receipt file; `-` for stdin
    file: PathBuf,
}

/// What a receipt proves, for machines.
#[derive(Debug, Serialize)]
struct Proven {
    valid: bool,
    executor: String,
    payer: String,
    pay_id: String,
    job: Option<String>,
    rung: u8,
    price: u64,
    output: String,
    fuel: u64,
    wall_ms: u64,
    result: String,
    accept: String,
}

pub(crate) fn run(context: &Context, command: ReceiptCommand) -> Result<(), Failure> {
    match command {
        ReceiptCommand::Export(ExportArgs { job, rung, path }) => {
            let path = absolute(&path)?;
            let done = format!("written to {}", path.display());
            context.order(&Request::ReceiptExport { job, rung, path }, &done)
        }
        ReceiptCommand::Verify(VerifyArgs { file }) => verify(context, &file),
    }
}

fn verify(context: &Context, file: &Path) -> Result<(), Failure> {
    let bytes = read(file)?;
    let view = Receipt::verify(&bytes).map_err(|error| {
        Failure::new(
            format!("this receipt does not hold: {error}"),
            "it was changed, cut off, or is no receipt; ask who gave it to you for another copy",
        )
    })?;
    let proven = Proven::of(&view);
    if context.json() { out::json(&proven) } else { out::text(&proven.to_text()) }
}

/// A longer file is no receipt: one byte above the limit is enough to see that.
fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let limit = u64::try_from(RECEIPT_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    let read = if file == Path::new("-") {
        io::stdin().take(limit).read_to_end(&mut bytes)
    } else {
        File::open(file).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    read.map_err(|error| {
        Failure::new(
            format!("cannot read {}: {error}", file.display()),
            "name a file that `cairn receipt export` wrote",
        )
    })?;
    Ok(bytes)
}

impl Proven {
    fn of(view: &ReceiptView) -> Self {
        Self {
            valid: true,
            executor: view.executor.to_string(),
            payer: view.payer.to_string(),
            pay_id: view.pay_id.to_string(),
            job: view.contract.map(|contract| contract.job.to_string()),
            rung: view.result.tier,
            price: view.accept.amount,
            output: view.result.output.to_string(),
            fuel: view.result.fuel,
            wall_ms: view.result.wall_ms,
            result: view.result_id.to_string(),
            accept: view.accept_id.to_string(),
        }
    }

    fn to_text(&self) -> String {
        format!(
            "this receipt holds\nexecutor  {}\npayer     {}\njob       {}\nrung      {}\nprice     {}\noutput    {}\ncost      {}\n",
            self.executor,
            self.payer,
            self.job.as_deref().unwrap_or("not named in this receipt"),
            self.rung,
            render::amount(self.price),
            self.output,
            render::cost(self.fuel, self.wall_ms),
        )
    }
}
