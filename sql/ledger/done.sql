-- What is done. $1: a job's number, or NULL for all jobs.
select job, part, what, rows, bytes, hash
  from pgconvoy.done
 where $1::int4 is null or job = $1::int4
 order by job, part;
