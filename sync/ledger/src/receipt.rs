//! Portable receipts: one file that anybody can check with nothing else at hand.
//!
//! ```text
//! [1, RESULT, ACCEPT]
//! [1, RESULT, ACCEPT, epoch, prev, CONTRACT, nonce]
//! ```
//! RESULT and ACCEPT are entries in standalone form, CONTRACT is in session form, its author and stream being
//! those of the ACCEPT. The nonce shows that the payment belongs to the job of the contract.

use alloc::vec::Vec;

use cairn_bundle::{Digest, NodeId};

use crate::cbor::{self, Reader, Writer, WrongShape};
use crate::entry::{ENTRY_BYTES_MAX, Entry, EntryError, SessionContext, VerifiedEntry};
use crate::ids::{PayId, StreamId, pay_id};
use crate::record::{Accept, Contract, Record, TaskResult};

/// A receipt file is no longer than this.
pub const RECEIPT_BYTES_MAX: usize = 3 * ENTRY_BYTES_MAX + 64;

const VERSION: u8 = 1;

/// Why some entries or some bytes are not a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// Longer than any receipt.
    #[error("a receipt has at most {RECEIPT_BYTES_MAX} bytes")]
    TooLarge,
    /// Cut off, trailed by more bytes, or not in the one deterministic form.
    #[error("not one item of deterministic CBOR")]
    NotCanonical,
    /// Not the fields of a receipt.
    #[error("not the fields of a receipt")]
    Shape,
    /// A receipt of another version.
    #[error("a receipt of a version that is not known here")]
    Version,
    /// One of the entries is not one.
    #[error("a record of the receipt does not hold: {0}")]
    Entry(#[from] EntryError),
    /// The entries are of other kinds.
    #[error("a receipt is made of a RESULT, an ACCEPT and perhaps a CONTRACT")]
    Kind,
    /// The entries do not stand in the streams between payer and executor.
    #[error("the records are not addressed by payer and executor to each other")]
    Parties,
    /// Executor and payer are one.
    #[error("the payer and the executor are the same node")]
    SelfPaid,
    /// The ACCEPT is about another result or payment.
    #[error("the ACCEPT is about another result")]
    OtherResult,
    /// The CONTRACT is about another job, rung or payment.
    #[error("the CONTRACT is about another job or rung")]
    OtherContract,
}

impl From<WrongShape> for ReceiptError {
    fn from(_: WrongShape) -> Self {
        Self::Shape
    }
}

/// What a receipt proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptView {
    /// Who did the job.
    pub executor: NodeId,
    /// Who accepted it.
    pub payer: NodeId,
    /// The payment.
    pub pay_id: PayId,
    /// The id of the RESULT entry.
    pub result_id: Digest,
    /// What was delivered.
    pub result: TaskResult,
    /// When, as the executor saw it: advisory.
    pub result_time: u32,
    /// The id of the ACCEPT entry.
    pub accept_id: Digest,
    /// What was accepted.
    pub accept: Accept,
    /// When, as the payer saw it: advisory.
    pub accept_time: u32,
    /// What was ordered, if the receipt says.
    pub contract: Option<Contract>,
}

/// A receipt that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    result: VerifiedEntry,
    accept: VerifiedEntry,
    contract: Option<(VerifiedEntry, [u8; 16])>,
    view: ReceiptView,
}

impl Receipt {
    /// Puts a receipt together; the contract comes with the nonce of the attempt that was paid.
    ///
    /// # Errors
    /// [`ReceiptError`] if the entries do not belong together.
    pub fn new(
        result: VerifiedEntry,
        accept: VerifiedEntry,
        contract: Option<(VerifiedEntry, [u8; 16])>,
    ) -> Result<Self, ReceiptError> {
        let mut view = view_of(&result, &accept)?;
        if let Some((contract, nonce)) = &contract {
            view.contract = Some(*check_contract(&view, contract, nonce)?);
        }
        Ok(Self { result, accept, contract, view })
    }

    /// Checks a receipt file, offline and with nothing but its bytes.
    ///
    /// # Errors
    /// [`ReceiptError`] if any byte is not as it was when the receipt was made.
    pub fn decode(bytes: &[u8]) -> Result<Self, ReceiptError> {
        if bytes.len() > RECEIPT_BYTES_MAX {
            return Err(ReceiptError::TooLarge);
        }
        cbor::check(bytes).map_err(|_| ReceiptError::NotCanonical)?;
        let mut reader = Reader::new(bytes);
        let fields = reader.array()?;
        if reader.uint::<u8>()? != VERSION {
            return Err(ReceiptError::Version);
        }
        if fields != 3 && fields != 7 {
            return Err(ReceiptError::Shape);
        }
        let result = VerifiedEntry::decode(reader.raw()?)?;
        let accept = VerifiedEntry::decode(reader.raw()?)?;
        let contract = if fields == 7 {
            let (author, stream) = (accept.author(), accept.place().stream);
            let (epoch, prev) = (reader.uint()?, Digest(reader.bytes()?));
            let context = SessionContext { author, stream, epoch, prev };
            let contract = Entry::decode_session(reader.raw()?, &context)?.verify()?;
            Some((contract, reader.bytes()?))
        } else {
            None
        };
        reader.end()?;
        Self::new(result, accept, contract)
    }

    /// Checks a receipt file and says what it proves.
    ///
    /// # Errors
    /// As [`Receipt::decode`].
    pub fn verify(bytes: &[u8]) -> Result<ReceiptView, ReceiptError> {
        Self::decode(bytes).map(|receipt| receipt.view)
    }

    /// The bytes of the receipt file.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let writer = Writer::array(if self.contract.is_some() { 7 } else { 3 });
        let writer = writer.uint(VERSION).raw(&self.result.encode()).raw(&self.accept.encode());
        let Some((contract, nonce)) = &self.contract else { return writer.finish() };
        let SessionContext { author: _, stream: _, epoch, prev } = contract.session_context();
        let writer = writer.uint(epoch).bytes(prev.as_bytes());
        writer.raw(&contract.encode_session()).bytes(nonce).finish()
    }

    /// What it proves.
    #[must_use]
    pub const fn view(&self) -> &ReceiptView {
        &self.view
    }
}

fn view_of(result: &VerifiedEntry, accept: &VerifiedEntry) -> Result<ReceiptView, ReceiptError> {
    let (Record::Result(stated), Record::Accept(accepted)) = (result.record(), accept.record()) else {
        return Err(ReceiptError::Kind);
    };
    let (executor, payer) = (result.author(), accept.author());
    if executor == payer {
        return Err(ReceiptError::SelfPaid);
    }
    if !result.is_to(&payer) || !accept.is_to(&executor) {
        return Err(ReceiptError::Parties);
    }
    if accepted.pay_id != stated.pay_id || accepted.result != Accept::name_of(&result.id()) {
        return Err(ReceiptError::OtherResult);
    }
    Ok(ReceiptView {
        executor,
        payer,
        pay_id: stated.pay_id,
        result_id: result.id(),
        result: *stated,
        result_time: result.time(),
        accept_id: accept.id(),
        accept: *accepted,
        accept_time: accept.time(),
        contract: None,
    })
}

fn check_contract<'a>(
    view: &ReceiptView,
    contract: &'a VerifiedEntry,
    nonce: &[u8; 16],
) -> Result<&'a Contract, ReceiptError> {
    let Record::Contract(ordered) = contract.record() else { return Err(ReceiptError::Kind) };
    let stream = StreamId::edge(&view.payer, &view.executor);
    if contract.author() != view.payer || contract.place().stream != stream {
        return Err(ReceiptError::Parties);
    }
    let paid = pay_id(&ordered.job, &view.payer, nonce);
    if ordered.tier != view.result.tier || paid != view.pay_id {
        return Err(ReceiptError::OtherContract);
    }
    Ok(ordered)
}
