//! Memory and descriptors of processes over time, and how they grow.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_millis(250);

/// Windows of evidence fill for five minutes; in a process that does not live as long, this share of its life is warm-up.
const WARM_UP: f64 = 300.0;
const OF_A_SHORT_LIFE: f64 = 0.4;

/// Looks at processes until it is stopped.
pub struct Sampler {
    processes: Arc<Mutex<Vec<Process>>>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

pub struct Process {
    pid: u32,
    began: Instant,
    samples: Vec<Sample>,
    /// Another one serves: what it has is on its way out.
    relieved: bool,
}

struct Sample {
    /// Seconds after its beginning.
    at: f64,
    /// All that is resident, and what of it is not mapped from a file.
    rss_kib: f64,
    anonymous_kib: f64,
    descriptors: f64,
}

impl Sample {
    /// None of a process that has ended.
    fn of(pid: u32, began: Instant) -> Option<Sample> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().trim_end_matches(" kB").parse().ok()
        };
        let (rss_kib, anonymous_kib) = (kib("VmRSS:")?, kib("RssAnon:")?);
        Some(Sample {
            at: began.elapsed().as_secs_f64(),
            rss_kib,
            anonymous_kib,
            descriptors: descriptors(pid)? as f64,
        })
    }
}

/// None of a process that has ended.
pub fn descriptors(pid: u32) -> Option<usize> {
    Some(std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count())
}

impl Sampler {
    pub fn start() -> Sampler {
        let (processes, stop) = (Arc::<Mutex<Vec<Process>>>::default(), Arc::<AtomicBool>::default());
        let thread = std::thread::spawn({
            let (processes, stop) = (Arc::clone(&processes), Arc::clone(&stop));
            move || {
                while !stop.load(Ordering::SeqCst) {
                    for process in &mut *processes.lock().expect("no panic with it") {
                        if !process.relieved {
                            process.samples.extend(Sample::of(process.pid, process.began));
                        }
                    }
                    std::thread::sleep(EVERY);
                }
            }
        });
        Sampler { processes, stop, thread }
    }

    /// This one serves from here on.
    pub fn follow(&self, pid: u32) {
        let mut processes = self.processes.lock().expect("no panic with it");
        processes.iter_mut().for_each(|process| process.relieved = true);
        processes.push(Process { pid, began: Instant::now(), samples: Vec::new(), relieved: false });
    }

    pub fn stop(self) -> Vec<Process> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().expect("it does not panic");
        std::mem::take(&mut self.processes.lock().expect("no panic with it"))
    }
}

/// A process after its warm-up: means, and by how much each grew in a minute.
pub struct Growth {
    pid: u32,
    pub seconds: f64,
    rss_kib: (f64, f64),
    pub anonymous_kib: (f64, f64),
    pub descriptors: (f64, f64),
}

impl Process {
    /// None with too few samples.
    pub fn growth(&self) -> Option<Growth> {
        let last = self.samples.last()?.at;
        let warm = if last > 1.5 * WARM_UP { WARM_UP } else { last * OF_A_SHORT_LIFE };
        let warmed: Vec<&Sample> = self.samples.iter().skip_while(|sample| sample.at < warm).collect();
        let line = |of: fn(&Sample) -> f64| {
            let (mean, slope) = least_squares(warmed.iter().map(|sample| (sample.at, of(sample))))?;
            Some((mean, slope * 60.0))
        };
        Some(Growth {
            pid: self.pid,
            seconds: last - warm,
            rss_kib: line(|sample| sample.rss_kib)?,
            anonymous_kib: line(|sample| sample.anonymous_kib)?,
            descriptors: line(|sample| sample.descriptors)?,
        })
    }
}

impl Growth {
    pub fn print(&self) {
        let line = |(mean, a_minute): (f64, f64)| format!("{mean:.1} ({a_minute:+.1} a minute)");
        println!(
            "process {}, {:.0} s after its warm-up: {} KiB resident, {} KiB of its own, {} descriptors",
            self.pid,
            self.seconds,
            line(self.rss_kib),
            line(self.anonymous_kib),
            line(self.descriptors)
        );
    }
}

/// The mean, and the slope of the line of least squares. None of fewer than three points.
fn least_squares(points: impl Iterator<Item = (f64, f64)> + Clone) -> Option<(f64, f64)> {
    let number = points.clone().count() as f64;
    if number < 3.0 {
        return None;
    }
    let (x, y) = points.clone().fold((0.0, 0.0), |(x, y), point| (x + point.0, y + point.1));
    let (x, y) = (x / number, y / number);
    let (products, squares) = points.fold((0.0, 0.0), |(products, squares), point| {
        (products + (point.0 - x) * (point.1 - y), squares + (point.0 - x).powi(2))
    });
    Some((y, products / squares))
}
