//! A receipt stands alone, and every byte of it counts.

use crate::world::{accept, sign, task_result};
use cairn_bundle::{Digest, Identity};
use cairn_ledger::{
    Accept, Contract, Kid, RECEIPT_BYTES_MAX, Receipt, ReceiptError, Record, VerifiedEntry, pay_id,
};

const JOB: Digest = Digest([9; 32]);
const NONCE: [u8; 16] = [1; 16];

fn payer() -> Identity {
    Identity::from_seed(&[1; 32])
}

fn executor() -> Identity {
    Identity::from_seed(&[3; 32])
}

fn result() -> VerifiedEntry {
    let payment = pay_id(&JOB, &payer().node_id(), &NONCE);
    let mut result = task_result(payment, 2);
    (result.fuel, result.energy_mj, result.wall_ms) = (90_000_000, 70_000, 120_000);
    sign(&executor(), &payer().node_id(), 300, 200_000_000, &Record::Result(result))
}

fn accept_of(result: &VerifiedEntry) -> VerifiedEntry {
    let Record::Result(stated) = result.record() else { panic!("a RESULT") };
    let (pay_id, name) = (stated.pay_id, Accept::name_of(&result.id()));
    let accept = Record::Accept(Accept { pay_id, result: name, amount: 1_000_000, code: 0 });
    sign(&payer(), &executor().node_id(), 301, 200_000_001, &accept)
}

fn contract(job: Digest, tier: u8) -> VerifiedEntry {
    let (price, guarantor) = (1_000_000, Kid([3; 8]));
    let contract = Contract { job, price, tier, hint_deadline: 200_000_000, verifiers: [0; 8], guarantor };
    sign(&payer(), &executor().node_id(), 300, 200_000_000, &Record::Contract(contract))
}

pub(crate) fn receipts() -> [Receipt; 2] {
    let (result, contract) = (result(), contract(JOB, 2));
    let accept = accept_of(&result);
    [
        Receipt::new(result.clone(), accept.clone(), None).unwrap(),
        Receipt::new(result, accept, Some((contract, NONCE))).unwrap(),
    ]
}

#[test]
fn a_receipt_goes_there_and_back_in_the_size_of_the_design() {
    let [short, long] = receipts();
    assert_eq!(short.encode().len(), 436);
    assert_eq!(long.encode().len(), 628);
    for receipt in [short, long] {
        assert_eq!(Receipt::decode(&receipt.encode()), Ok(receipt.clone()));
        let view = Receipt::verify(&receipt.encode()).unwrap();
        assert_eq!((view.executor, view.payer), (executor().node_id(), payer().node_id()));
        assert_eq!((view.result.tier, view.accept.amount), (2, 1_000_000));
        assert_eq!((view.result_time, view.accept_time), (200_000_000, 200_000_001));
        assert_eq!(view.contract.map_or(JOB, |contract| contract.job), JOB);
    }
}

#[test]
fn any_change_of_any_byte_is_rejected() {
    for receipt in receipts() {
        let bytes = receipt.encode();
        for at in 0..bytes.len() {
            for change in [0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] ^= change;
                assert!(Receipt::verify(&changed).is_err(), "byte {at} ^ {change:x}");
            }
            for value in [0x00, 0xff] {
                let mut changed = bytes.clone();
                changed[at] = value;
                assert!(changed == bytes || Receipt::verify(&changed).is_err(), "byte {at} = {value:x}");
            }
        }
    }
}

#[test]
fn a_receipt_that_is_cut_or_goes_on_is_rejected() {
    for receipt in receipts() {
        let bytes = receipt.encode();
        for at in 0..bytes.len() {
            assert!(Receipt::verify(&bytes[..at]).is_err(), "cut at {at}");
        }
        for more in [0x00, 0x80, 0xf6] {
            let longer = [&bytes[..], &[more]].concat();
            assert_eq!(Receipt::verify(&longer), Err(ReceiptError::NotCanonical));
        }
    }
    assert_eq!(Receipt::verify(&[0; RECEIPT_BYTES_MAX + 1]), Err(ReceiptError::TooLarge));
    assert_eq!(Receipt::verify(&[0x83, 2, 0, 0]), Err(ReceiptError::Version));
    assert_eq!(Receipt::verify(&[0x84, 1, 0, 0, 0]), Err(ReceiptError::Shape));
}

#[test]
fn records_that_do_not_belong_together_make_no_receipt() {
    let result = result();
    let accepted = accept_of(&result);
    let fails = |result: &VerifiedEntry, accept: &VerifiedEntry, with: Option<(VerifiedEntry, [u8; 16])>| {
        Receipt::new(result.clone(), accept.clone(), with).unwrap_err()
    };
    assert_eq!(fails(&accepted, &result, None), ReceiptError::Kind);
    let Record::Result(stated) = *result.record() else { panic!("a RESULT") };

    let blank = sign(&payer(), &executor().node_id(), 301, 1, &accept(stated.pay_id));
    assert_eq!(fails(&result, &blank, None), ReceiptError::OtherResult);

    let other = Identity::from_seed(&[5; 32]);
    let name = Accept::name_of(&result.id());
    let genuine = Record::Accept(Accept { pay_id: stated.pay_id, result: name, amount: 1, code: 0 });
    let by_other = sign(&other, &executor().node_id(), 0, 1, &genuine);
    let to_other = sign(&payer(), &other.node_id(), 0, 1, &genuine);
    let by_itself = sign(&executor(), &executor().node_id(), 0, 1, &genuine);
    assert_eq!(fails(&result, &by_other, None), ReceiptError::Parties);
    assert_eq!(fails(&result, &to_other, None), ReceiptError::Parties);
    assert_eq!(fails(&result, &by_itself, None), ReceiptError::SelfPaid);

    let with = |contract: VerifiedEntry, nonce| fails(&result, &accepted, Some((contract, nonce)));
    assert_eq!(with(contract(Digest([8; 32]), 2), NONCE), ReceiptError::OtherContract);
    assert_eq!(with(contract(JOB, 1), NONCE), ReceiptError::OtherContract);
    assert_eq!(with(contract(JOB, 2), [2; 16]), ReceiptError::OtherContract);
    assert_eq!(with(accepted.clone(), NONCE), ReceiptError::Kind);
    let Record::Contract(terms) = *contract(JOB, 2).record() else { panic!("a CONTRACT") };
    let foreign = sign(&other, &executor().node_id(), 300, 1, &Record::Contract(terms));
    assert_eq!(with(foreign, NONCE), ReceiptError::Parties);
}
