package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"
)

const (
	patience     = 5 * time.Second
	mostInFlight = 5_000
)

type record struct {
	due     time.Time
	took    time.Duration
	status  int
	version string
}

// ask makes one request; an answer that does not come whole has the status 0.
func ask(client *http.Client, target, host string, due time.Time) record {
	one := record{due: due}
	request, err := http.NewRequest(http.MethodGet, target, nil)
	if err == nil {
		request.Host = host
		var answer *http.Response
		if answer, err = client.Do(request); err == nil {
			_, err = io.Copy(io.Discard, answer.Body)
			answer.Body.Close()
			one.version = answer.Header.Get("X-Version")
			if err == nil {
				one.status = answer.StatusCode
			}
		}
	}
	one.took = time.Since(due)
	return one
}

// load sends each request when it is due, whatever became of those before it.
func load(target, host, perSecond, path string) error {
	rate, err := strconv.Atoi(perSecond)
	if err != nil || rate < 1 {
		return fmt.Errorf("%q is no rate", perSecond)
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	ended, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	client := &http.Client{
		Timeout:   patience,
		Transport: &http.Transport{MaxIdleConnsPerHost: mostInFlight, DisableCompression: true},
	}
	records := make(chan record, mostInFlight)
	written := make(chan error)
	go func() { written <- write(file, records) }()

	places := make(chan struct{}, mostInFlight)
	var open sync.WaitGroup
	every := time.Second / time.Duration(rate)
	for due := time.Now(); ended.Err() == nil; due = due.Add(every) {
		time.Sleep(time.Until(due))
		places <- struct{}{}
		open.Add(1)
		go func() {
			defer open.Done()
			records <- ask(client, target, host, due)
			<-places
		}()
	}
	open.Wait()
	close(records)
	return <-written
}

func write(file *os.File, records <-chan record) error {
	lines := bufio.NewWriter(file)
	for one := range records {
		fmt.Fprintf(lines, "%d,%d,%d,%s\n", one.due.UnixMicro(), one.took.Microseconds(), one.status, one.version)
	}
	if err := lines.Flush(); err != nil {
		return err
	}
	return file.Close()
}
