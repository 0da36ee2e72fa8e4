module portcullis.dev/race

go 1.24
