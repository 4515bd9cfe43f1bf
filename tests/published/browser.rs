//! Chromium without a window, told what to do by its DevTools protocol.
//!
//! It is asked over a pipe, `--remote-debugging-pipe`: JSON with a zero byte after each message, on the descriptors 3 and
//! 4. A shell puts the ends of ordinary pipes there, so that this takes no crate for web sockets and no unsafe code.

use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};

/// What the browser is called on the systems that have it.
const NAMES: [&str; 5] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

/// How long an answer may take before the browser is given up; a page is laid out in less than a second.
const PATIENCE: Duration = Duration::from_secs(120);

/// A browser with one page. It is killed when this is dropped.
pub(crate) struct Browser {
    child: Child,
    commands: ChildStdin,
    messages: Receiver<Value>,
    session: Option<String>,
    number: u64,
    /// The addresses that were asked for since the last [`Browser::open`], the page's own among them.
    pub(crate) requests: Vec<String>,
    /// Where the browser keeps its profile.
    _scratch: tempfile::TempDir,
}

impl fmt::Debug for Browser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Browser")
            .field("requests", &self.requests)
            .finish_non_exhaustive()
    }
}

impl Browser {
    /// Starts the browser. No name is resolved, so it can reach nothing beyond this machine.
    pub(crate) fn start() -> Browser {
        let scratch = tempfile::tempdir().expect("a temporary folder can be made");
        let mut child = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null"])
            .arg(find())
            .args(["--headless=new", "--no-sandbox", "--disable-gpu"])
            .args(["--no-first-run", "--disable-dev-shm-usage"])
            // They would take their width from the page, on some systems.
            .arg("--hide-scrollbars")
            .arg("--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1")
            .arg(format!("--user-data-dir={}", scratch.path().display()))
            .arg("--remote-debugging-pipe")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // It complains of everything that a desktop has and a container hasn't.
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell can be run");
        let commands = child.stdin.take().expect("it is piped");
        let answers = child.stdout.take().expect("it is piped");
        let (sender, messages) = channel();
        std::thread::spawn(move || {
            for message in BufReader::new(answers).split(0) {
                let Ok(message) = message else { break };
                let message = serde_json::from_slice(&message).expect("the protocol is JSON");
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        let mut browser = Browser {
            child,
            commands,
            messages,
            session: None,
            number: 0,
            requests: Vec::new(),
            _scratch: scratch,
        };
        let target = browser.ask("Target.createTarget", json!({ "url": "about:blank" }));
        let target = &target["targetId"];
        let attached = browser.ask(
            "Target.attachToTarget",
            json!({ "targetId": target, "flatten": true }),
        );
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page.enable", "Network.enable", "Runtime.enable"] {
            browser.ask(domain, json!({}));
        }
        browser
    }

    /// Opens a file as a screen of some width shows it, and waits until it is loaded.
    pub(crate) fn open(&mut self, file: &Path, width: u32, height: u32, phone: bool) {
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone }),
        );
        self.requests.clear();
        let url = format!("file://{}", file.display());
        let opened = self.ask("Page.navigate", json!({ "url": url }));
        assert!(opened.get("errorText").is_none(), "{opened}");
        while self.next()["method"] != "Page.loadEventFired" {}
    }

    /// The value of an expression of JavaScript in the page.
    pub(crate) fn evaluate(&mut self, expression: &str) -> Value {
        let mut reply = self.ask(
            "Runtime.evaluate",
            json!({ "expression": expression, "returnByValue": true, "awaitPromise": true }),
        );
        assert!(reply.get("exceptionDetails").is_none(), "{reply}");
        reply["result"]["value"].take()
    }

    /// A picture of what the screen shows, as PNG.
    pub(crate) fn picture(&mut self) -> Vec<u8> {
        use base64::Engine;
        let reply = self.ask("Page.captureScreenshot", json!({ "format": "png" }));
        let data = reply["data"].as_str().expect("a picture is text");
        base64::engine::general_purpose::STANDARD
            .decode(data)
            .expect("a picture is base64")
    }

    fn ask(&mut self, method: &str, parameters: Value) -> Value {
        self.number += 1;
        let mut message = json!({ "id": self.number, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = Value::from(session.as_str());
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.commands
            .write_all(&bytes)
            .and_then(|()| self.commands.flush())
            .unwrap_or_else(|error| panic!("Chromium is gone before {method}: {error}"));
        loop {
            let mut answer = self.next();
            if answer["id"] == self.number {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].take();
            }
        }
    }

    /// The next message, whose request is noted if it tells of one.
    fn next(&mut self) -> Value {
        let message = self
            .messages
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|error| panic!("Chromium doesn't answer: {error}"));
        if message["method"] == "Network.requestWillBeSent"
            && let Some(url) = message["params"]["request"]["url"].as_str()
        {
            self.requests.push(url.to_owned());
        }
        message
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser ends its other processes itself, when the pipe is closed or when it is told.
        let _ = self
            .commands
            .write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        for _ in 0..100 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The browser's program.
fn find() -> PathBuf {
    if let Some(named) = std::env::var_os("CHROMIUM") {
        let named = PathBuf::from(named);
        assert!(
            named.is_file(),
            "CHROMIUM names {}, which isn't there",
            named.display()
        );
        return named;
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found = NAMES.iter().find_map(|name| {
        std::env::split_paths(&folders)
            .map(|folder| folder.join(name))
            .find(|path| path.is_file())
    });
    found.unwrap_or_else(|| {
        panic!(
            "Chromium isn't installed, and the pages of reference are looked at in it: install it (`apt-get install \
             chromium`), or name its program in the variable CHROMIUM"
        )
    })
}
