//! linphone (`linphonec`) as a phone that registers and watches a colleague; its SIP log tells what it was told.

use std::fs;
use std::path::{Path, PathBuf};

use crate::office::{DOMAIN, Office, host};
use crate::{Running, SIP, Seen, Transport};

/// A running linphonec.
#[derive(Debug)]
pub struct Linphone {
    running: Running,
    log: PathBuf,
}

impl Linphone {
    /// Starts one for `user` that registers at Offhook and watches `colleague`; it answers every call. Its password is `secret`.
    #[must_use]
    pub fn start(office: &Office, at: u8, user: &str, colleague: &str, transport: Transport) -> Self {
        let (address, server) = (office.network.host(at), office.network.sip(host::OFFHOOK));
        let home = office.folder.join(&format!("linphone-{user}"));
        for inner in [".local/share/linphone", ".config/linphone"] {
            fs::create_dir_all(home.join(inner)).expect("a folder for linphone");
        }
        let transport = transport.word();
        let configuration = format!(
            "[sip]\nsip_port={SIP}\nsip_tcp_port={SIP}\nsip_tls_port=-2\nbind_address={address}\ndefault_proxy=0\n\
             register_only_when_network_is_up=0\nuse_ipv6=0\nguess_hostname=0\n\
             contact=\"{user}\" <sip:{user}@{address}>\npublish_presence=1\n\
             [proxy_0]\nreg_proxy=<sip:{server};transport={transport}>\nreg_route=<sip:{server};transport={transport};lr>\n\
             reg_identity=sip:{user}@{DOMAIN}\nreg_expires=120\nreg_sendregister=1\npublish=1\npublish_expires=120\n\
             [auth_info_0]\nusername={user}\npasswd=secret\ndomain={DOMAIN}\nrealm={DOMAIN}\n\
             [friend_0]\nurl=\"{colleague}\" <sip:{colleague}@{DOMAIN}>\npol=accept\nsubscribe=1\n\
             [rtp]\naudio_rtp_port=27200\n[net]\nmtu=1300\n[sound]\nechocancellation=0\n[storage]\nuri=null\n"
        );
        let file = home.join("linphonerc");
        fs::write(&file, configuration).expect("its configuration");
        let log = home.join("sip.log");
        let words = ["-a", "-d", "5", "-l"].map(str::to_owned);
        let mut arguments: Vec<String> = words.into();
        arguments.push(log.to_string_lossy().into_owned());
        arguments.extend(["-c".to_owned(), file.to_string_lossy().into_owned()]);
        let output = office.folder.join(&format!("linphone-{user}.log"));
        let environment = [("HOME", home.to_str().expect("UTF-8"))];
        let program = Path::new("/usr/bin/linphonec");
        let mut running = Running::start_with("linphonec", program, &arguments, &home, output, &environment);
        running.tell("soundcard use files");
        Self { running, log }
    }

    /// Tells it to do something: a line of its command language.
    pub fn command(&mut self, line: &str) {
        self.running.tell(line);
    }

    /// Its SIP log.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).replace('\r', "")
    }

    /// What the documents that it was sent show, in order.
    #[must_use]
    pub fn notified(&self) -> Vec<Seen> {
        let log = self.log();
        let mut seen = Vec::new();
        for (at, _) in log.match_indices("\nNOTIFY sip:") {
            let Some(message) = log.get(at + 1..) else { continue };
            // Of this message only: up to the next line of the log itself.
            let message = message.split("\n20").next().unwrap_or(message);
            let Some(start) = message.find("<?xml") else { continue };
            let Some(length) = message[start..].find("presence>") else { continue };
            seen.push(Seen::read(&message[start..start + length + "presence>".len()]));
        }
        seen
    }
}
