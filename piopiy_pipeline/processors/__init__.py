"""Pipeline stages that pipecat lacks, or that many calls in one process need cheaper; one stage in each file."""
