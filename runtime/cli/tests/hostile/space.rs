//! Namespaces of the kernel: a mount or a network that only the processes of one test see.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// Ends with the test, and everything that was set up inside it goes with it.
pub(crate) struct Space {
    holder: Child,
    pid: String,
}

impl Space {
    /// A new namespace with something set up in it; a printed reason and `None` if this machine does not let us.
    pub(crate) fn new(unshare: &str, setup: &str) -> Option<Self> {
        let script = format!("{setup} && echo ready && exec cat");
        let mut command = Command::new("unshare");
        command.args([unshare, "sh", "-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let started = command.spawn().map_err(|error| error.to_string()).and_then(|mut holder| {
            let mut line = String::new();
            let _ = BufReader::new(holder.stdout.as_mut().unwrap()).read_line(&mut line);
            let pid = holder.id().to_string();
            let space = Self { holder, pid };
            if line == "ready\n" { Ok(space) } else { Err("it needs root and util-linux".to_owned()) }
        });
        started.inspect_err(|reason| eprintln!("skipped: no namespace of its own ({reason})")).ok()
    }

    pub(crate) fn pid(&self) -> &str {
        &self.pid
    }

    /// The words before a command that is to run inside.
    pub(crate) fn enter(&self, kind: &'static str) -> [&str; 4] {
        ["nsenter", "-t", &self.pid, kind]
    }

    /// Runs a command inside; whether it succeeded.
    pub(crate) fn runs(&self, kind: &'static str, command: &[&str]) -> bool {
        let [program, args @ ..] = self.enter(kind);
        let output = Command::new(program).args(args).args(command).output();
        output.is_ok_and(|output| output.status.success())
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
