-- Statements that failed for good, the last failure of each.
select distinct on (job, part) job, part, message, statement
  from pgconvoy.trouble
 where final
 order by job, part, happened_at desc;
