use pgconvoy::{cli::move_database::*, event::*, model::*, pg::conninfo::*};
struct P;
impl Emit for P {
    fn emit(&self, what: What) {
        match &what {
            What::Planned { jobs, .. } => {
                eprintln!("{} jobs", jobs.len());
            }
            What::JobAdvanced { .. } | What::JobStarted { .. } => {}
            What::TableVerified(v) => eprintln!("{:?} {} {:?}", v.verdict, v.table, v.read),
            What::JobFinished {
                job, duration_ms, ..
            } => eprintln!("done {job} {duration_ms}"),
            What::JobFailed { failure, .. } => eprintln!(
                "FAILED {:?} {} | {}",
                failure.entry.as_ref().map(|e| (&e.desc, &e.tag)),
                failure.message,
                failure
                    .statement
                    .clone()
                    .unwrap_or_default()
                    .chars()
                    .take(200)
                    .collect::<String>()
            ),
            w => eprintln!("{w:?}"),
        }
    }
}
#[tokio::main]
async fn main() {
    let a: Vec<String> = std::env::args().collect();
    let env = Environment::of_process();
    let r = Request {
        source: Conninfo::resolve(&a[1], &env).unwrap(),
        target: Conninfo::resolve(&a[2], &env).unwrap(),
        environment: env,
        filters: Filters::default(),
        restore: Default::default(),
        jobs: 2,
        verify: VerifyLevel::Content,
        chunk_size: a.get(3).map(|s| Bytes(s.parse().unwrap())),
        memory: None,
    };
    let t = std::time::Instant::now();
    if let Err(e) = dev_run(r, std::sync::Arc::new(P)).await {
        eprintln!("ERR {e:?}");
    }
    eprintln!("{:?}", t.elapsed());
}
