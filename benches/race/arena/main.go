// What stands around the contenders of the race: the two versions, their clients, and what a cluster without nodes lacks.
package main

import (
	"fmt"
	"os"
)

const usage = `arena servers CONTROL NAME=ADDRESS...        blue and green, whose faults are set through CONTROL
arena load HOST RATE FILE                    RATE requests a second to HOST at $TARGET, until SIGTERM, one line each in FILE
arena kubelet                                every pod is ready at the address that its annotation names
arena twin                                   TraefikServices of the old API group are copied into the one of Traefik 3
The last two take the API server from $KUBE_SERVER, $KUBE_TOKEN and $KUBE_CA.`

func main() {
	arguments := os.Args[1:]
	var err error
	switch {
	case len(arguments) >= 3 && arguments[0] == "servers":
		err = servers(arguments[1], arguments[2:])
	case len(arguments) == 4 && arguments[0] == "load":
		err = load(os.Getenv("TARGET"), arguments[1], arguments[2], arguments[3])
	case len(arguments) == 1 && arguments[0] == "kubelet":
		err = kubelet()
	case len(arguments) == 1 && arguments[0] == "twin":
		err = twin()
	default:
		err = fmt.Errorf("%s", usage)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
