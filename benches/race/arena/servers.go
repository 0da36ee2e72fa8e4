package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// How long a healthy answer takes, and how much longer one of a server that has become slow.
const (
	healthyTime = 5 * time.Millisecond
	slowBy      = 800 * time.Millisecond
)

type fault struct {
	Kind  string  `json:"kind"`
	Share float64 `json:"share"`
	At    int64   `json:"at"`
}

// Times are microseconds since 1970, as in what the clients write.
type seen struct {
	Requests   int   `json:"requests"`
	SinceFault int   `json:"sinceFault"`
	Failed     int   `json:"failed"`
	Last       int64 `json:"last"`
	Fault      fault `json:"fault"`
}

type server struct {
	name  string
	mutex sync.Mutex
	seen  seen
}

func (s *server) arrived() fault {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.seen.Requests++
	s.seen.Last = time.Now().UnixMicro()
	hit := s.seen.Fault
	if hit.Kind == "" {
		return hit
	}
	s.seen.SinceFault++
	if rand.Float64() >= hit.Share {
		return fault{}
	}
	s.seen.Failed++
	return hit
}

func (s *server) ServeHTTP(answer http.ResponseWriter, _ *http.Request) {
	hit := s.arrived()
	time.Sleep(healthyTime)
	answer.Header().Set("X-Version", s.name)
	switch hit.Kind {
	case "errors":
		answer.WriteHeader(http.StatusInternalServerError)
	case "slow":
		time.Sleep(slowBy)
	}
	fmt.Fprintf(answer, "%-50s", "hello from "+s.name)
}

// begin sets a fault: from here on that share of the requests that arrive fail, or are slow.
func (s *server) begin(kind string, share float64) fault {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.seen = seen{Fault: fault{Kind: kind, Share: share, At: time.Now().UnixMicro()}}
	return s.seen.Fault
}

func (s *server) look() seen {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.seen
}

func servers(control string, named []string) error {
	all := map[string]*server{}
	ended := make(chan error)
	for _, each := range named {
		name, address, found := strings.Cut(each, "=")
		if !found {
			return fmt.Errorf("%q is no NAME=ADDRESS", each)
		}
		listener, err := net.Listen("tcp", address)
		if err != nil {
			return err
		}
		all[name] = &server{name: name}
		go func() { ended <- http.Serve(listener, all[name]) }()
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{name}/fault", func(answer http.ResponseWriter, request *http.Request) {
		one, found := all[request.PathValue("name")]
		share, err := strconv.ParseFloat(request.FormValue("share"), 64)
		if !found || err != nil {
			http.Error(answer, "no such server, or no share", http.StatusBadRequest)
			return
		}
		_ = json.NewEncoder(answer).Encode(one.begin(request.FormValue("kind"), share))
	})
	mux.HandleFunc("GET /{name}", func(answer http.ResponseWriter, request *http.Request) {
		one, found := all[request.PathValue("name")]
		if !found {
			http.NotFound(answer, request)
			return
		}
		_ = json.NewEncoder(answer).Encode(one.look())
	})
	go func() { ended <- http.ListenAndServe(control, mux) }()
	return <-ended
}
