//! What one sealed bundle of 1 KiB costs a microcontroller: flash for the code, memory at work.
//!
//! Runs on an emulated Cortex-M4; `./run` starts it and holds the figures against the goals.
#![no_std]
#![no_main]

extern crate alloc;

mod memory;

use alloc::vec::Vec;
use core::convert::Infallible;
use core::panic::PanicInfo;

use cairn_bundle::{Bundle, Class, CreationTimestamp, Draft, Eid, Identity, Limits, Prekeys, open, seal, verify_source};
use cortex_m_rt::entry;
use cortex_m_semihosting::{debug, hprintln};
use memory::{Peak, measured};

const PAYLOAD: [u8; 1024] = [0xca; 1024];

/// Stands in for a hardware generator, which an emulator does not have: nothing here is secret.
struct Counter(u8);

impl rand_core::TryRng for Counter {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.0 = self.0.wrapping_add(1);
        Ok(self.0.into())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0 = self.0.wrapping_add(1);
        Ok(self.0.into())
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        self.0 = self.0.wrapping_add(1);
        out.fill(self.0);
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Counter {}

/// Makes a bundle and encodes it, as a sensor would.
fn send(me: &Identity, to: &Identity) -> Vec<u8> {
    let draft = Draft {
        destination: Eid::node(&to.node_id(), "inbox").expect("a valid service"),
        source_service: "sensor",
        creation: CreationTimestamp { time_ms: 0, seq: 1 },
        age_ms: Some(0),
        lifetime_ms: 86_400_000,
        hop_limit: 16,
        class: Class::Normal,
        may_fragment: false,
        admin_record: false,
        payload: &PAYLOAD,
    };
    seal(&draft, me, &to.sealing_key(), &mut Counter(0)).expect("a valid draft").encode()
}

/// Brings a bundle up to date for the next hop, as a relay would: it checks who sent it and can read nothing.
fn relay(bytes: &[u8], me: &Identity) -> Vec<u8> {
    let bundle = Bundle::decode(bytes, &Limits::default()).expect("a bundle");
    verify_source(&bundle).expect("signed by its source");
    let carrier = Eid::node(&me.node_id(), "").expect("a valid endpoint");
    bundle.forwarded_by(&carrier, 1_000).expect("hops are left").encode()
}

/// Decodes, verifies and decrypts a bundle, as its recipient would.
fn receive(bytes: &[u8], me: &Identity) -> usize {
    let bundle = Bundle::decode(bytes, &Limits::default()).expect("a bundle");
    open(&bundle, me, &Prekeys::default()).expect("sealed to this identity").payload.len()
}

fn report(what: &str, peak: &Peak) {
    let total = peak.heap_bytes + peak.stack_bytes + memory::static_bytes();
    let Peak { heap_bytes, stack_bytes } = peak;
    hprintln!(
        "{what}_ram_bytes {total} heap {heap_bytes} stack {stack_bytes} static {}",
        memory::static_bytes()
    );
}

#[entry]
fn main() -> ! {
    memory::start();
    let [me, to, carrier] = [1, 2, 3].map(|seed| Identity::from_seed(&[seed; 32]));
    hprintln!("flash_bytes {}", memory::flash_bytes());
    let (bytes, sent) = measured(|| send(&me, &to));
    hprintln!("bundle_bytes {}", bytes.len());
    report("send", &sent);
    let (bytes, relayed) = measured(move || relay(&bytes, &carrier));
    report("relay", &relayed);
    let (length, received) = measured(move || receive(&bytes, &to));
    report("receive", &received);
    assert!(length == PAYLOAD.len(), "the payload came back");
    debug::exit(debug::EXIT_SUCCESS);
    loop {}
}

#[panic_handler]
fn panic(_info: &PanicInfo<'_>) -> ! {
    // Without the text of the panic: formatting every error would be most of what is measured.
    hprintln!("panicked");
    debug::exit(debug::EXIT_FAILURE);
    loop {}
}
