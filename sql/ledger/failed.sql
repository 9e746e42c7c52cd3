-- Statements that failed for good, the last failure of each; not those that were done after all.
select distinct on (t.job, t.part) t.job, t.part, t.message, t.statement
  from pgconvoy.trouble t
 where t.final
   and not exists (select from pgconvoy.done d where d.job = t.job and d.part in (t.part, 0))
 order by t.job, t.part, t.happened_at desc;
