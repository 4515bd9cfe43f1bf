//! Certificates for a server with TLS, made by `openssl` for one cluster.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::programs::expect_success;

/// The files of a server with TLS, in a folder of its cluster.
#[derive(Debug)]
pub(crate) struct Certificates {
    pub(crate) ca: PathBuf,
    pub(crate) other_ca: PathBuf,
    server: PathBuf,
    key: PathBuf,
}

/// What the certificates say, whatever the machine's own settings of `openssl` are.
const WORDS: &str = "
[req]
distinguished_name = name
[name]
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = IP:127.0.0.1, DNS:localhost
";

impl Certificates {
    /// Makes them in a folder that belongs to this process still.
    ///
    /// # Panics
    ///
    /// If there is no `openssl`, or it fails.
    pub(crate) fn make(folder: &Path) -> Certificates {
        let folder = folder.join("tls");
        fs::create_dir(&folder).expect("the folder is writable");
        let path = |name: &str| folder.join(name);
        fs::write(path("words"), WORDS).expect("the folder is writable");
        let openssl = |command: &str| {
            let output = Command::new("/bin/sh")
                .current_dir(&folder)
                // A server takes a key only if nobody else can read it.
                .args(["-c", &format!("umask 077; openssl {command}")])
                .output()
                .expect("sh can be run");
            assert!(
                output.status.code() != Some(127),
                "the certificates for TLS take openssl (on Debian: apt-get install openssl)"
            );
            expect_success(&format!("openssl {command}"), &output);
        };
        for name in ["ca", "other-ca"] {
            openssl(&format!(
                "ecparam -genkey -name prime256v1 -noout -out {name}.key"
            ));
            openssl(&format!(
                "req -new -x509 -config words -extensions ca -sha256 -days 2 -subj /CN=layer-payments-{name} \
                 -key {name}.key -out {name}.pem"
            ));
        }
        openssl("ecparam -genkey -name prime256v1 -noout -out server.key");
        openssl(
            "req -new -config words -sha256 -subj /CN=127.0.0.1 -key server.key -out server.csr",
        );
        openssl(
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -set_serial 1 -sha256 -days 2 \
             -extfile words -extensions server -out server.pem",
        );
        Certificates {
            ca: path("ca.pem"),
            other_ca: path("other-ca.pem"),
            server: path("server.pem"),
            key: path("server.key"),
        }
    }

    /// What the server is told.
    pub(crate) fn settings(&self) -> [String; 3] {
        [
            "ssl=on".to_owned(),
            format!("ssl_cert_file={}", self.server.display()),
            format!("ssl_key_file={}", self.key.display()),
        ]
    }
}
