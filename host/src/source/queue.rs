//! The messages of one partition, taken in batches from librdkafka's own queue and read where librdkafka put them.
//!
//! What never happens: a message is never copied on its way to decode, and never outlives the client it came from.

use std::ffi::{CStr, CString, c_void};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::thread::Thread;

use rdkafka::bindings as rd;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use super::TopicPartition;
use super::consumer::Context;
use crate::batch::Messages;

/// Messages asked for at once: the limit on bytes is looked at in between.
const CHUNK: usize = 1024;

/// The queue of one partition. Dropping it stops nothing: the partition is unassigned by the consumer.
pub struct PartitionQueue {
    /// Which partition.
    pub partition: TopicPartition,
    queue: NonNull<rd::rd_kafka_queue_t>,
    /// Woken when messages come while there were none. Boxed twice would be librdkafka's wish for `dyn`; a `Thread` is plain.
    waker: Option<Box<Thread>>,
    chunk: Vec<*mut rd::rd_kafka_message_t>,
    /// Whether librdkafka's position is of this assignment for sure, and not left over from the one before.
    position_is_ours: bool,
    /// The client must outlive its queue.
    consumer: Arc<BaseConsumer<Context>>,
}

// SAFETY: librdkafka's queues may be used from any thread; `chunk` is empty between calls.
unsafe impl Send for PartitionQueue {}

/// What a look at the queue found beside messages.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Messages added.
    pub messages: usize,
    /// The offset asked for isn't there any more: find out anew where to begin.
    pub offset_lost: Option<String>,
    /// Errors that librdkafka is working on.
    pub errors: Vec<String>,
}

impl PartitionQueue {
    /// Parts the partition's queue from the consumer's, so that its messages come here and nowhere else. To be called before
    /// the partition is assigned: what was fetched before would go to the consumer's queue.
    pub(super) fn split(consumer: &Arc<BaseConsumer<Context>>, partition: TopicPartition) -> Option<Self> {
        let topic = CString::new(partition.topic.as_str()).ok()?;
        // SAFETY: the client is alive for as long as we hold `consumer`; the topic is a C string.
        let queue = unsafe {
            let client = consumer.client().native_ptr();
            let queue = NonNull::new(rd::rd_kafka_queue_get_partition(client, topic.as_ptr(), partition.partition))?;
            rd::rd_kafka_queue_forward(queue.as_ptr(), ptr::null_mut());
            queue
        };
        let (consumer, chunk) = (Arc::clone(consumer), Vec::with_capacity(CHUNK));
        let mut queue = Self { partition, queue, waker: None, chunk, position_is_ours: false, consumer };
        // Nothing has come yet: what librdkafka knows now is of an earlier assignment.
        queue.position();
        Some(queue)
    }

    /// Unparks `thread` whenever messages come while there were none. Look at the queue once after calling this.
    pub fn wake(&mut self, thread: Thread) {
        unsafe extern "C" fn unpark(_: *mut rd::rd_kafka_t, thread: *mut c_void) {
            // SAFETY: `thread` is the box that `self.waker` keeps until the callback is taken back.
            unsafe { &*thread.cast::<Thread>() }.unpark();
        }
        let waker = self.waker.insert(Box::new(thread));
        let opaque = ptr::from_mut(&mut **waker).cast();
        // SAFETY: the queue is alive, and the box stays where it is until `drop` takes the callback back.
        unsafe { rd::rd_kafka_queue_cb_event_enable(self.queue.as_ptr(), Some(unpark), opaque) };
    }

    /// Adds what is there to `into`, up to `max_messages` and about `max_bytes` in all. Never waits.
    ///
    /// `next` is the offset after the last message taken. What is older is dropped: librdkafka fetches again what it had
    /// handed out when a rebalance stops it in between.
    pub fn take(&mut self, into: &mut KafkaMessages, next: &mut i64, max_messages: usize, max_bytes: usize) -> Taken {
        let mut taken = Taken::default();
        while into.len() < max_messages && into.bytes < max_bytes {
            let want = CHUNK.min(max_messages - into.len());
            self.chunk.clear();
            // SAFETY: `chunk` has room for `want` pointers, and librdkafka fills as many as it returns. Each message is ours
            // to destroy from here on.
            let count = unsafe {
                let count = rd::rd_kafka_consume_batch_queue(self.queue.as_ptr(), 0, self.chunk.as_mut_ptr(), want);
                let count = usize::try_from(count).unwrap_or(0);
                self.chunk.set_len(count);
                count
            };
            for message in self.chunk.drain(..) {
                // SAFETY: librdkafka gave it, and it is destroyed either here or by `KafkaMessages`.
                let (code, offset) = unsafe { ((*message).err, (*message).offset) };
                match code {
                    rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR if offset >= *next => {
                        into.push(message);
                        *next = offset + 1;
                        taken.messages += 1;
                        continue;
                    }
                    rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => {}
                    rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET
                    | rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE => {
                        taken.offset_lost = Some(error_text(message));
                    }
                    _ => taken.errors.push(error_text(message)),
                }
                // SAFETY: ours, and not used after this.
                unsafe { rd::rd_kafka_message_destroy(message) };
            }
            if count < want {
                break;
            }
        }
        self.position_is_ours |= taken.messages > 0;
        taken
    }

    /// The offset after all that the queue has given, and after transaction markers that it kept to itself; `None` if
    /// nothing has come since the partition was assigned.
    pub fn position(&mut self) -> Option<i64> {
        let topic = CString::new(self.partition.topic.as_str()).ok()?;
        // SAFETY: the list is ours, and is destroyed after its one entry was read; the client is alive.
        let offset = unsafe {
            let list = rd::rd_kafka_topic_partition_list_new(1);
            let entry = rd::rd_kafka_topic_partition_list_add(list, topic.as_ptr(), self.partition.partition);
            let code = rd::rd_kafka_position(self.consumer.client().native_ptr(), list);
            let known = code == rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
            let offset = if known { (*entry).offset } else { -1 };
            rd::rd_kafka_topic_partition_list_destroy(list);
            offset
        };
        // librdkafka forgets the position of an assignment when it has stopped fetching: until then it is the old one.
        self.position_is_ours |= offset < 0;
        (offset >= 0 && self.position_is_ours).then_some(offset)
    }
}

impl Drop for PartitionQueue {
    fn drop(&mut self) {
        // SAFETY: the queue is alive; the callback is taken back before its box goes.
        unsafe {
            rd::rd_kafka_queue_cb_event_enable(self.queue.as_ptr(), None, ptr::null_mut());
            rd::rd_kafka_queue_destroy(self.queue.as_ptr());
        }
    }
}

impl std::fmt::Debug for PartitionQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PartitionQueue({})", self.partition)
    }
}

fn error_text(message: *const rd::rd_kafka_message_t) -> String {
    // SAFETY: the message is alive, and librdkafka's text with it.
    unsafe { CStr::from_ptr(rd::rd_kafka_message_errstr(message)) }.to_string_lossy().into_owned()
}

/// Messages as librdkafka holds them.
#[derive(Debug)]
pub struct KafkaMessages {
    partition: TopicPartition,
    messages: Vec<*mut rd::rd_kafka_message_t>,
    bytes: usize,
}

// SAFETY: these messages are ours alone, and librdkafka lets any thread read and destroy them.
unsafe impl Send for KafkaMessages {}

impl KafkaMessages {
    /// No messages yet.
    pub fn new(partition: TopicPartition) -> Self {
        Self { partition, messages: Vec::new(), bytes: 0 }
    }

    /// Bytes of keys and values.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Gives the messages back to librdkafka.
    pub fn clear(&mut self) {
        for message in self.messages.drain(..) {
            // SAFETY: pushed once, destroyed once.
            unsafe { rd::rd_kafka_message_destroy(message) };
        }
        self.bytes = 0;
    }

    fn push(&mut self, message: *mut rd::rd_kafka_message_t) {
        // SAFETY: librdkafka gave it, without an error.
        self.bytes += unsafe { (*message).len + (*message).key_len };
        self.messages.push(message);
    }

    fn message(&self, index: usize) -> &rd::rd_kafka_message_t {
        // SAFETY: alive until it is drained from `messages`.
        unsafe { &*self.messages[index] }
    }
}

impl Drop for KafkaMessages {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Bytes as C gives them; `None` for a null pointer.
fn bytes<'a>(pointer: *const c_void, length: usize) -> Option<&'a [u8]> {
    // SAFETY: callers pass pointer and length of one field of a message that outlives what they return.
    (!pointer.is_null()).then(|| unsafe { std::slice::from_raw_parts(pointer.cast(), length) })
}

impl Messages for KafkaMessages {
    fn topic(&self) -> &str {
        &self.partition.topic
    }

    fn partition(&self) -> i32 {
        self.partition.partition
    }

    fn len(&self) -> usize {
        self.messages.len()
    }

    fn offset(&self, index: usize) -> i64 {
        self.message(index).offset
    }

    fn timestamp_ms(&self, index: usize) -> Option<i64> {
        let mut kind = rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is alive; librdkafka writes `kind`.
        let timestamp = unsafe { rd::rd_kafka_message_timestamp(self.message(index), &mut kind) };
        (kind != rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE && timestamp >= 0).then_some(timestamp)
    }

    fn key(&self, index: usize) -> Option<&[u8]> {
        let message = self.message(index);
        bytes(message.key, message.key_len)
    }

    fn value(&self, index: usize) -> Option<&[u8]> {
        let message = self.message(index);
        bytes(message.payload, message.len)
    }

    fn headers(&self, index: usize) -> Vec<(String, Option<Vec<u8>>)> {
        let mut headers = ptr::null_mut();
        let mut found = Vec::new();
        // SAFETY: the message is alive; librdkafka owns the headers, and names and values live as long as it does.
        unsafe {
            let code = rd::rd_kafka_message_headers(self.message(index), &mut headers);
            if code != rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR || headers.is_null() {
                return found;
            }
            let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
            while rd::rd_kafka_header_get_all(headers, found.len(), &mut name, &mut value, &mut size)
                == rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
            {
                let name = CStr::from_ptr(name).to_string_lossy().into_owned();
                found.push((name, bytes(value, size).map(<[u8]>::to_vec)));
            }
        }
        found
    }
}
