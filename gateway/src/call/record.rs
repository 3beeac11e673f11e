//! Call records (JSON lines, CSV): exactly one for every call, whatever ended it.

use std::path::Path;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use super::CallId;
use super::cause::Cause;
use super::csv;
use super::timeline::Entry;
use crate::settings::{RecordDestination, Records};
use crate::signaling::message::Via;
use crate::stir::StirRecord;
use crate::worker::{MediaReport, OneWay};

/// Who ended a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    /// The browser's side.
    Browser,
    /// The telephone's side.
    Phone,
    /// The gateway.
    Gateway,
}

/// Which way a call went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// A browser called a telephone.
    Outbound,
    /// A telephone called a user.
    Inbound,
}

/// One call, from its offer to its end.
#[derive(Clone, Debug, Serialize)]
pub struct CallRecord {
    /// The call's name in logs.
    pub id: String,
    /// Which way it went.
    pub direction: Direction,
    /// The signalling session it came from, or that answered it; empty where none did.
    pub session: String,
    /// The user who called or was called, where there are users.
    pub user: Option<String>,
    /// The caller's number, as the called sees it; none where it is withheld.
    pub from: Option<String>,
    /// What was dialled.
    pub to: String,
    /// The SIP URI that was called, where it came to that.
    pub target: Option<String>,
    /// The trunk it went by, or came by.
    pub trunk: Option<String>,
    /// When the offer arrived: RFC 3339, UTC.
    pub start: String,
    /// When the telephone first rang, in milliseconds after the start.
    pub ringing_ms: Option<u64>,
    /// When it answered, in milliseconds after the start.
    pub answered_ms: Option<u64>,
    /// When the call was over, in milliseconds after the start.
    pub ended_ms: u64,
    /// How long the two could talk, in milliseconds.
    pub talk_ms: u64,
    /// Why it ended.
    pub cause: Cause,
    /// Who ended it.
    pub ended_by: EndedBy,
    /// Which way the browser's media went, in the end.
    pub path: Option<Via>,
    /// The codec towards the browser.
    pub browser_codec: Option<String>,
    /// The codec towards the telephone.
    pub phone_codec: Option<String>,
    /// How the telephone's media is protected: an SRTP suite, or nothing.
    pub phone_srtp: Option<String>,
    /// When one side did not hear the other, and why.
    pub one_way: Vec<OneWaySpell>,
    /// What its signatures come to (RFC 8224), where somebody looked at them.
    pub stir: Option<StirRecord>,
    /// Who was to speak with whom instead, and what came of it.
    pub transfers: Vec<TransferRecord>,
    /// What the media worker counted.
    pub media: Option<MediaReport>,
    /// The steps of the call.
    pub timeline: Vec<Entry>,
}

/// A time in which one side did not hear the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OneWaySpell {
    /// What was wrong.
    pub trouble: OneWay,
    /// When it was noticed, in milliseconds after the start.
    pub from_ms: u64,
    /// When it was over; none if it lasted to the end.
    pub until_ms: Option<u64>,
}

/// A transfer of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TransferRecord {
    /// When it was asked for, in milliseconds after the start.
    pub at_ms: u64,
    /// Who wanted it.
    pub by: EndedBy,
    /// To whom: a number, a URI, or the id of another call.
    pub to: String,
    /// The one it was to had been spoken to before.
    pub attended: bool,
    /// Who carried it out: the telephone's side, or the gateway.
    pub done_by: Option<EndedBy>,
    /// When it was done or given up, in milliseconds after the start; none if the call ended before.
    pub ended_ms: Option<u64>,
    /// Why nothing came of it.
    pub failure: Option<String>,
}

/// Between whom a call is.
#[derive(Clone, Debug)]
pub struct Parties {
    /// Which way it goes.
    pub direction: Direction,
    /// The browser's session, as far as it is known.
    pub session: String,
    /// The user.
    pub user: Option<String>,
    /// The caller's number, as the called sees it.
    pub from: Option<String>,
    /// What was dialled.
    pub to: String,
}

impl CallRecord {
    /// The record of a call that never had a machine, or lost it.
    pub(super) fn without_a_call(
        id: CallId,
        parties: Parties,
        start: SystemTime,
        cause: Cause,
    ) -> Self {
        let Parties {
            direction,
            session,
            user,
            from,
            to,
        } = parties;
        Self {
            id: id.to_string(),
            direction,
            session,
            user,
            from,
            to,
            target: None,
            trunk: None,
            start: rfc3339(start),
            ringing_ms: None,
            answered_ms: None,
            ended_ms: start.elapsed().map_or(0, millis),
            talk_ms: 0,
            cause,
            ended_by: EndedBy::Gateway,
            path: None,
            browser_codec: None,
            phone_codec: None,
            phone_srtp: None,
            one_way: Vec::new(),
            stir: None,
            transfers: Vec::new(),
            media: None,
            timeline: Vec::new(),
        }
    }
}

/// A point in time as RFC 3339 in UTC, to the millisecond.
pub fn rfc3339(at: SystemTime) -> String {
    humantime::format_rfc3339_millis(at).to_string()
}

/// Milliseconds, saturating.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// How many records may wait for the disk; a call's task waits when there are more.
const QUEUE: usize = 1024;

/// Takes records and writes each as one line.
#[derive(Clone, Debug)]
pub struct Recorder {
    queue: Option<mpsc::Sender<CallRecord>>,
}

impl Recorder {
    /// Opens the destinations and starts the writer; the handle ends when every recorder is dropped
    /// and all is written.
    ///
    /// # Errors
    /// A file cannot be opened for appending; the message names the setting.
    pub async fn open(
        settings: &Records,
    ) -> std::io::Result<(Self, Option<tokio::task::JoinHandle<()>>)> {
        let json: Option<Out> = match &settings.destination {
            Some(RecordDestination::Stdout) => Some(Box::new(tokio::io::stdout())),
            Some(RecordDestination::File(path)) => {
                Some(Box::new(named("file", open_file(path).await)?))
            }
            None => None,
        };
        let table: Option<Out> = match &settings.csv {
            Some(path) => {
                let mut file = named("csv", open_file(path).await)?;
                if named("csv", file.metadata().await)?.len() == 0 {
                    named("csv", file.write_all(&csv::header()).await)?;
                }
                Some(Box::new(file))
            }
            None => None,
        };
        if json.is_none() && table.is_none() {
            return Ok((Self { queue: None }, None));
        }
        let (queue, records) = mpsc::channel(QUEUE);
        let writer = tokio::spawn(write_all(records, json, table));
        Ok((Self { queue: Some(queue) }, Some(writer)))
    }

    /// Writes one record; waits while the queue is full.
    pub async fn write(&self, record: CallRecord) {
        tracing::info!(
            call = record.id,
            to = record.to,
            cause = ?record.cause.code,
            sip = record.cause.sip,
            talk_ms = record.talk_ms,
            "call ended: {}",
            record.cause.text
        );
        if let Some(queue) = &self.queue
            && queue.send(record).await.is_err()
        {
            tracing::error!("the record writer is gone: a call record is lost");
        }
    }
}

async fn open_file(path: &Path) -> std::io::Result<tokio::fs::File> {
    tokio::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .await
}

/// Where lines go.
type Out = Box<dyn tokio::io::AsyncWrite + Send + Unpin>;

/// Puts the setting before what went wrong.
fn named<T>(key: &str, result: std::io::Result<T>) -> std::io::Result<T> {
    result.map_err(|error| std::io::Error::new(error.kind(), format!("[records] {key}: {error}")))
}

async fn write_all(
    mut records: mpsc::Receiver<CallRecord>,
    mut json: Option<Out>,
    mut table: Option<Out>,
) {
    while let Some(record) = records.recv().await {
        if let Some(out) = &mut json {
            match serde_json::to_vec(&record) {
                Ok(mut line) => {
                    line.push(b'\n');
                    write_line(out, &line).await;
                }
                Err(error) => {
                    tracing::error!(call = record.id, %error, "a call record could not be put into JSON");
                }
            }
        }
        if let Some(out) = &mut table {
            write_line(out, &csv::row(&record)).await;
        }
    }
}

async fn write_line(out: &mut Out, line: &[u8]) {
    let written = async {
        out.write_all(line).await?;
        out.flush().await
    };
    if let Err(error) = written.await {
        // The line goes to the log instead, so that the record is not lost with the disk.
        tracing::error!(%error, record = %String::from_utf8_lossy(line), "a call record could not be written");
    }
}
