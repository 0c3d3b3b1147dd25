//! baresip as a phone that registers, watches a colleague and calls: no sound card, no terminal.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use crate::office::{DOMAIN, Office, host};
use crate::{Running, SIP, Transport, until};

/// The port at which it takes commands.
const CONTROL: u16 = 25070;

/// A running baresip.
#[derive(Debug)]
pub struct Baresip {
    running: Running,
    control: SocketAddr,
}

impl Baresip {
    /// Starts one for `user` that registers at Offhook and watches `colleague`; it answers every call. Its password is `secret`.
    #[must_use]
    pub fn start(office: &Office, at: u8, user: &str, colleague: &str, transport: Transport) -> Self {
        Self::with(office, at, user, colleague, transport, "")
    }

    /// The same, and it asks for waiting messages. Its module for them may fall into subscribing without a pause at any
    /// moment ([`Baresip::runs_wild`]): then it is to be started anew.
    #[must_use]
    pub fn with_waiting_messages(office: &Office, at: u8, user: &str, colleague: &str, transport: Transport) -> Self {
        // What an earlier one wrote would be taken for this one's.
        let _ = fs::remove_file(office.folder.join(&format!("baresip-{user}.log")));
        Self::with(office, at, user, colleague, transport, "module_app mwi.so\n")
    }

    /// Whether it subscribes to its messages without a pause: a fault of version 1.0.0.
    #[must_use]
    pub fn runs_wild(&self) -> bool {
        self.shown().matches("mwi: subscribing").count() > 10
    }

    fn with(office: &Office, at: u8, user: &str, colleague: &str, transport: Transport, modules: &str) -> Self {
        let (address, server) = (office.network.host(at), office.network.sip(host::OFFHOOK));
        let home = office.folder.join(&format!("baresip-{user}"));
        fs::create_dir_all(&home).expect("a folder for baresip");
        let tone = home.join("tone.wav");
        fs::write(&tone, wave()).expect("a tone");
        let transport = transport.word();
        let configuration = format!(
            "poll_method epoll\nsip_listen {address}:{SIP}\nsip_trans_def {transport}\nnet_interface {address}\n\
             call_local_timeout 60\ncall_max_calls 4\n\
             audio_player aubridge,null\naudio_source aufile,{tone}\naudio_alert aubridge,null\n\
             ausrc_srate 8000\nauplay_srate 8000\nausrc_channels 1\nauplay_channels 1\nrtp_ports 27000-27100\n\
             module_path /usr/lib/baresip/modules\nmodule g711.so\nmodule aufile.so\nmodule aubridge.so\n\
             module uuid.so\nmodule_tmp account.so\nmodule_app contact.so\nmodule_app menu.so\n\
             module_app presence.so\n{modules}module ctrl_tcp.so\nctrl_tcp_listen {address}:{CONTROL}\n",
            tone = tone.display()
        );
        let account = format!(
            "<sip:{user}@{DOMAIN}>;auth_user={user};auth_pass=secret;outbound=\"sip:{server};transport={transport}\";\
             regint=60;pubint=60;answermode=auto;ptime=20;audio_codecs=PCMU/8000/1\n"
        );
        let contact = format!("\"{colleague}\" <sip:{colleague}@{DOMAIN}>;presence=p2p\n");
        for (name, text) in [("config", &configuration), ("accounts", &account), ("contacts", &contact)] {
            fs::write(home.join(name), text).expect("its configuration");
        }
        // It shows each SIP message too.
        let arguments = ["-s".to_owned(), "-f".to_owned(), home.to_string_lossy().into_owned()];
        let output = office.folder.join(&format!("baresip-{user}.log"));
        let running = Running::start("baresip", Path::new("/usr/bin/baresip"), &arguments, &home, output);
        Self { running, control: (address, CONTROL).into() }
    }

    /// Tells it to do something: the words of its menu, such as `dial` with a URI.
    pub fn command(&self, command: &str, parameters: &str) {
        let told = format!(r#"{{"command":"{command}","params":"{parameters}","token":"t"}}"#);
        let mut stream =
            until("baresip takes commands", Duration::from_secs(10), || TcpStream::connect(self.control).ok());
        stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
        write!(stream, "{}:{told},", told.len()).expect("a command");
        let mut answer = [0; 4096];
        let length = stream.read(&mut answer).unwrap_or_default();
        assert!(length > 0, "baresip does not answer `{command}`:\n{}", self.shown());
    }

    /// What it has shown so far, without colours.
    #[must_use]
    pub fn shown(&self) -> String {
        let mut plain = String::new();
        let mut escaped = false;
        for character in self.running.output().chars() {
            match character {
                '\u{1b}' => escaped = true,
                _ if escaped => escaped = !character.is_ascii_alphabetic(),
                '\r' => plain.push('\n'),
                _ => plain.push(character),
            }
        }
        plain
    }
}

/// Ten seconds of a 440 Hz tone: 8 kHz, 16 bits, one channel, as a WAV file.
fn wave() -> Vec<u8> {
    let samples =
        (0..80_000_u32).map(|at| ((f64::from(at) * 440.0 * std::f64::consts::TAU / 8000.0).sin() * 12_000.0) as i16);
    let octets: Vec<u8> = samples.flat_map(i16::to_le_bytes).collect();
    let length = u32::try_from(octets.len()).expect("a short tone");
    let mut file = Vec::new();
    file.extend_from_slice(b"RIFF");
    file.extend_from_slice(&(36 + length).to_le_bytes());
    file.extend_from_slice(b"WAVEfmt ");
    file.extend_from_slice(&16_u32.to_le_bytes());
    // PCM, one channel.
    file.extend_from_slice(&1_u16.to_le_bytes());
    file.extend_from_slice(&1_u16.to_le_bytes());
    file.extend_from_slice(&8000_u32.to_le_bytes());
    file.extend_from_slice(&16_000_u32.to_le_bytes());
    file.extend_from_slice(&2_u16.to_le_bytes());
    file.extend_from_slice(&16_u16.to_le_bytes());
    file.extend_from_slice(b"data");
    file.extend_from_slice(&length.to_le_bytes());
    file.extend_from_slice(&octets);
    file
}
