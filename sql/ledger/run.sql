-- The run that a ledger is of.
select run, format, pgconvoy_version, request, memory, snapshot, plan, archive
  from pgconvoy.run;
